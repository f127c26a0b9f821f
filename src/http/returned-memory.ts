/**
 * Memory of chunks that nobody looks at any more, given back at once. Node reads a socket into new memory for each chunk,
 * and V8 collects what lies outside its heap only once that is some 64 MB: two hundred bodies of strangers would take that.
 */
import { MessageChannel } from 'node:worker_threads'

/** A port to nobody: what is transferred to it is gone. */
const { port1: nowhere, port2: nobody } = new MessageChannel()
nobody.close()
nowhere.unref()

/** @param chunk of which no copy, view or part is used afterwards */
export function giveBack(chunk: Buffer): void {
  // Where the chunk is a part of larger memory, others use the rest.
  if (chunk.length > 0 && chunk.length === chunk.buffer.byteLength)
    nowhere.postMessage(undefined, [chunk.buffer as ArrayBuffer])
}
