/**
 * The tables that the stores on disk have in common, for copying one into another. Their columns are described in each
 * store's schema.ts.
 */

/** `name`: text from outside. `word`: text of ours. */
export type ColumnKind = 'name' | 'word' | 'number' | 'truth'

export interface Table {
  readonly name: string
  /** Primary key: rows are read in its order. */
  readonly key: readonly string[]
  readonly columns: Readonly<Record<string, ColumnKind>>
}

export type TableRow = Readonly<Record<string, string | number | boolean | null>>

/** Those that others refer to come first. */
export const TABLES: readonly Table[] = [
  {
    name: 'rooms',
    key: ['room'],
    columns: {
      room: 'number',
      room_id: 'name',
      version: 'word',
      create_event: 'name',
      revision: 'number',
      facts_revision: 'number',
      resident: 'truth',
      snapshot: 'number',
    },
  },
  {
    name: 'snapshots',
    key: ['snapshot'],
    columns: {
      snapshot: 'number',
      room: 'number',
      phase: 'word',
      changed_at: 'number',
      from_revision: 'number',
      version: 'word',
      own_server: 'name',
      discard_knocks: 'truth',
      base: 'number',
      last_knock: 'number',
      members: 'number',
      servers: 'number',
      flaw: 'word',
    },
  },
  {
    name: 'events',
    key: ['event'],
    columns: {
      event: 'number',
      room: 'number',
      snapshot: 'number',
      event_id: 'name',
      checked: 'number',
      json: 'name',
      recorded_at: 'number',
    },
  },
  {
    name: 'state',
    key: ['snapshot', 'type', 'state_key', 'from_revision'],
    columns: {
      snapshot: 'number',
      type: 'name',
      state_key: 'name',
      from_revision: 'number',
      to_revision: 'number',
      ended_at: 'number',
      event: 'number',
      membership: 'name',
    },
  },
  {
    name: 'flaws',
    key: ['snapshot', 'type', 'state_key'],
    columns: { snapshot: 'number', type: 'name', state_key: 'name', reason: 'name' },
  },
  {
    name: 'joined_servers',
    key: ['snapshot', 'server'],
    columns: { snapshot: 'number', server: 'name', members: 'number' },
  },
  { name: 'knocks', key: ['snapshot', 'event'], columns: { snapshot: 'number', event: 'number', in_file: 'truth' } },
  {
    name: 'extremities',
    key: ['room', 'event_id', 'snapshot'],
    columns: {
      room: 'number',
      event_id: 'name',
      snapshot: 'number',
      depth: 'number',
      from_revision: 'number',
      to_revision: 'number',
      ended_at: 'number',
      kept: 'truth',
    },
  },
  {
    name: 'decisions',
    key: ['seq'],
    columns: {
      seq: 'number',
      refused: 'truth',
      recorded_at: 'number',
      room_id: 'name',
      user_id: 'name',
      json: 'name',
    },
  },
  {
    name: 'outbox',
    key: ['event'],
    columns: { event: 'number', snapshot: 'number', skip_servers: 'name', last_server: 'name', queued_at: 'number' },
  },
  {
    name: 'deliveries',
    key: ['destination', 'event'],
    columns: { destination: 'name', event: 'number', queued_at: 'number' },
  },
  {
    name: 'destinations',
    key: ['destination'],
    columns: {
      destination: 'name',
      due_at: 'number',
      waiting: 'number',
      oldest_at: 'number',
      attempts: 'number',
      slow: 'truth',
      suspects: 'number',
      refusals: 'number',
      reason: 'name',
      not_before: 'number',
      txn_id: 'word',
      txn_at: 'number',
    },
  },
  { name: 'slow_servers', key: ['server'], columns: { server: 'name', noted_at: 'number' } },
  {
    name: 'knock_attempts',
    key: ['event_id'],
    columns: { event_id: 'name', begun_at: 'number', json: 'name', decision: 'name' },
  },
  { name: 'server_keys', key: ['server'], columns: { server: 'name', fetched_at: 'number', json: 'name' } },
]
