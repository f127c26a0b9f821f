/** What copies of rooms have in common, whatever keeps the room. */

/** Events that are read at a time. */
export const COPY_PAGE = 200

/** The state that was being copied is gone: it can only be copied anew. */
export function copyEnded(): Error {
  return new Error('the room was imported again meanwhile, and its former state is no longer kept: export it again')
}
