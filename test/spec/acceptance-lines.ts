/**
 * What the service must do, line by line, drawn from the specification: titles of tests begin with the ids of the lines
 * that they hold. https://spec.matrix.org/latest/server-server-api/#knocking-upon-a-room
 */

export interface AcceptanceLine {
  /** Letter of its section and a number: `B3`. */
  readonly id: string
  readonly text: string
}

export interface AcceptanceSection {
  readonly title: string
  readonly lines: readonly AcceptanceLine[]
  /** Nothing of it is there to be tested; its lines may go without tests until it is. */
  readonly notYet?: true
}

export const ACCEPTANCE: readonly AcceptanceSection[] = [
  {
    title: 'The HTTP shell',
    lines: [
      { id: 'A1', text: 'An unknown path is 404 `M_UNRECOGNIZED`.' },
      { id: 'A2', text: 'Another method on either endpoint, HEAD among them, is 405 `M_UNRECOGNIZED`.' },
      { id: 'A3', text: 'Every error has `errcode`, `error` and the JSON type, also where no handler was reached.' },
      { id: 'A4', text: 'The content type of a request is of no account: none, empty, malformed or another.' },
      { id: 'A5', text: 'Ids of 255 bytes are accepted, longer ones and broken escapes are 400.' },
      { id: 'A6', text: 'Too many requests from one address are 429 with `Retry-After`.' },
      { id: 'A7', text: 'Trailing and doubled slashes and empty segments are 404 or 400 in Matrix shape, never 500.' },
    ],
  },
  {
    title: 'X-Matrix',
    lines: [
      { id: 'B1', text: 'The four headers of the vectors verify.' },
      { id: 'B2', text: 'A target with `%21` and one with `!` verify each for its own signature alone.' },
      { id: 'B3', text: 'Every spelling of the header: case, white space, order, quotes, escapes, more parameters.' },
      { id: 'B4', text: 'A header without `destination` is accepted.' },
      { id: 'B5', text: 'A destination that is not ours is 401.' },
      {
        id: 'B6',
        text: 'Wrong, unknown, old and expired keys, signatures that are none, and requests changed in method, target, query or body are 401.',
      },
      { id: 'B7', text: 'A body with other white space, escapes or order of keys still verifies.' },
      { id: 'B8', text: 'A body `{}` is signed as `content`, a GET without any.' },
      {
        id: 'B9',
        text: 'Of several headers, unknown keys are passed over, and a wrong signature by a known key is 401.',
      },
      { id: 'B10', text: 'Requests captured from Synapse verify at the time of their capture.' },
    ],
  },
  {
    title: 'Keys and discovery',
    lines: [
      {
        id: 'C1',
        text: 'A key object of another name, not signed by itself, with a key of 31 bytes or without an end is of no use.',
      },
      { id: 'C2', text: 'No key is believed for more than seven days after it was fetched.' },
      { id: 'C3', text: 'An old key is good for events up to its end, and for none after it.' },
      { id: 'C4', text: 'A copy that is too old is fetched again once, whoever else asks meanwhile.' },
      { id: 'C5', text: 'From a notary: both signatures are checked, and it is told how long keys must be valid.' },
      { id: 'C6', text: 'Each step of server discovery, with the `Host` header and the SNI that belong to it.' },
      {
        id: 'C7',
        text: 'Well-known: redirects, loops, bad JSON, 404, size, cache headers, and the bounds of 24, 48 and one hour.',
      },
      { id: 'C8', text: 'Private addresses are not connected to unless the operator allows them.' },
    ],
  },
  {
    title: 'Canonical JSON and signatures',
    lines: [
      { id: 'D1', text: "The specification's own vectors." },
      { id: 'D2', text: 'The canonical forms of the vectors.' },
      {
        id: 'D3',
        text: 'Fractions, exponents, integers beyond 2^53 - 1, double keys, lone surrogates, wrong UTF-8 and a byte order mark are 400.',
      },
      { id: 'D4', text: '`__proto__`, `constructor`, integer-like and empty keys live through hashing.' },
      { id: 'D5', text: 'Event ids in every room version.' },
      { id: 'D6', text: 'From version 11 on, `origin` is in the content hash but not in the signature.' },
    ],
  },
  {
    title: 'make_knock',
    lines: [
      {
        id: 'E1',
        text: "The template's fields and `auth_events`, versions 7 to 12, with and without what is optional.",
      },
      { id: 'E2', text: 'Every reason to refuse, in its order.' },
      { id: 'E3', text: 'A template has no `hashes`, `signatures`, `unsigned` or `event_id`.' },
      { id: 'E4', text: '`depth` is one more than the deepest, and never beyond 2^53 - 1.' },
      { id: 'E5', text: '`ver` may be repeated.' },
      { id: 'E6', text: 'A server that the ACL denies gets 403 even where its versions do not fit.' },
    ],
  },
  {
    title: 'send_knock',
    lines: [
      {
        id: 'F1',
        text: 'Signature, type, membership, origin of the sender, state key: each that is wrong is 400 `M_INVALID_PARAM`.',
      },
      { id: 'F2', text: 'What is no knock is 400 even where the sender is joined, as Complement wants it.' },
      { id: 'F3', text: 'The authorisation rules row by row, in each version.' },
      {
        id: 'F4',
        text: 'A knock after nothing, a leave or a knock is accepted; invited, joined and banned users get 403.',
      },
      { id: 'F5', text: '`m.federate` keeps others out where it is the boolean false, and only there.' },
      {
        id: 'F6',
        text: 'A changed reason is accepted, and the redacted copy is stored and delivered under the same id.',
      },
      { id: 'F7', text: 'A knock that cites a leave from before a ban is 403.' },
      { id: 'F8', text: 'Unknown or no `prev_events` are 403, more than 20, or 11 `auth_events`, are 400.' },
      { id: 'F9', text: '`join_authorised_via_users_server` needs a signature from version 8 on.' },
      { id: 'F10', text: 'The same knock again gets the same 200 and is delivered once.' },
      { id: 'F11', text: 'A body of another room or another event than the path names is 400.' },
      { id: 'F12', text: 'An event of 65,536 canonical bytes is accepted, one of 65,537 refused.' },
      { id: 'F13', text: '`origin` in the event may be absent, ours or theirs.' },
    ],
  },
  {
    title: 'The answer and the delivery',
    lines: [
      { id: 'G1', text: 'The create event is in every answer and verifies; in version 12 it hashes to the room id.' },
      { id: 'G2', text: 'Each of the listed types is shown if it is set, no other is, and none has `unsigned`.' },
      {
        id: 'G3',
        text: 'One transaction per joined server but ours and the knocker, until it is answered, 50 PDUs at most, over restarts, under an id of its own.',
      },
      {
        id: 'G4',
        text: 'A room whose policy server is in force is 403 on both endpoints; one that is not is not asked.',
      },
    ],
  },
  {
    title: 'The feed of room state',
    lines: [
      { id: 'H1', text: 'A transaction that comes again changes nothing; a wrong `hs_token` is 403.' },
      { id: 'H2', text: 'Events with a state key change the state, others do not.' },
      { id: 'H3', text: 'Loading and then following gives the same as loading anew.' },
      { id: 'H4', text: 'A PDU whose id is not the one it claims is dropped.' },
      { id: 'H5', text: 'A room that we left is 404.' },
    ],
  },
]
