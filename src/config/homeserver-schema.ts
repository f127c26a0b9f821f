/** The section of the configuration about the homeserver next door: how knocks reach it, where it is, how rooms are read. */
import * as z from 'zod'
import { type ServerName, serverNameOf } from '../matrix/identifiers.ts'
import { setting } from './setting.ts'
import { homeserverUrl, integer, text, userId } from './values.ts'

const appservice = z.strictObject({
  listen: z
    .strictObject({
      host: setting(text.default('127.0.0.1'), {
        description:
          'Address of the listener that the homeserver tells at once what happens in its rooms. The whole section may be left out; then rooms are read again by age.',
        allowed: 'an address or host name',
        example: '127.0.0.1',
      }),
      port: setting(integer(0, 65_535).default(8452), {
        description: 'Its port; 0 takes any free one.',
        allowed: 'an integer from 0 to 65535',
        example: '8452',
      }),
    })
    .prefault({}),
  registration_path: setting(text.default('./registration.yaml'), {
    description: 'The registration that the homeserver reads too, with the tokens. generate-registration writes it.',
    allowed: 'a path',
    example: './registration.yaml',
  }),
})

/** The section `homeserver`. */
export const homeserver = z
  .strictObject({
    handover: setting(z.enum(['none', 'inject', 'forward']).optional(), {
      description:
        'How accepted knocks reach the homeserver. none: there is none, this store is the authority of its rooms, and the service itself sends accepted knocks to the other servers in them. inject: as events from itself, for homeservers without knocking such as Dendrite. forward: the request as it came, for those with knocking such as Synapse. There is no default.',
      allowed: 'none, inject or forward',
      sample: 'none',
    }),
    url: setting(homeserverUrl.optional(), {
      description: 'Where the homeserver itself answers, federation and client-server, past every proxy.',
      allowed: 'http://HOST:PORT or https://HOST:PORT with handover inject or forward, and no url with none',
      example: 'http://127.0.0.1:8008',
    }),
    template: setting(z.enum(['own', 'upstream']).default('own'), {
      description:
        "Whose event template make_knock gives: ours, or the homeserver's own. With upstream the signing key may be missing; what cannot be read without it is then left to the homeserver.",
      allowed: 'own, or upstream with handover forward',
      example: 'own',
    }),
    max_state_age_seconds: setting(z.number().min(0.1).max(3600).default(60), {
      description: 'How old what is known of a room may be where no appservice keeps it fresh.',
      allowed: 'a number from 0.1 to 3600',
      example: '60',
    }),
    local_users: setting(z.array(userId).default([]), {
      description: 'Users of the homeserver to read rooms as, where nothing else names one that is joined.',
      allowed: 'a list of user ids of server_name such as ["@alice:example.org"]',
      example: '[]',
    }),
    appservice: appservice.optional(),
  })
  .superRefine(({ handover, url, template }, context) => {
    // `run` says so by itself where no way was chosen.
    if (handover === undefined) return
    const refuse = (key: string, input: unknown): void => context.addIssue({ code: 'custom', path: [key], input })
    if ((handover === 'none') !== (url === undefined)) refuse('url', url)
    if (template === 'upstream' && handover !== 'forward') refuse('template', template)
  })

interface NamedHomeserver {
  readonly server_name: ServerName
  readonly homeserver: Pick<z.output<typeof homeserver>, 'local_users'>
}

/** Refuses users of other servers among `homeserver.local_users`: no room can be read as them. */
export function usersAreLocal(
  { server_name: name, homeserver: { local_users: users } }: NamedHomeserver,
  context: z.core.$RefinementCtx,
): void {
  for (const [index, user] of users.entries()) {
    if (serverNameOf(user) === name) continue
    context.addIssue({ code: 'custom', path: ['homeserver', 'local_users', index], input: user })
  }
}
