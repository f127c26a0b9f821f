/**
 * Who may be sent to now. A lane is for deliveries that end soon: one that does not leaves it to others and is waited for
 * beside the lanes. Servers that lag and servers at one address have shares. docs/decisions/0015-deliveries-that-isolate.md
 */
import { networkOf } from '../../matrix/ip-address.ts'

export interface DeliveryLanesOptions {
  readonly maxParallel: number
  /** Milliseconds that only ever pass, from any start. */
  readonly uptime: () => number
  /** A lane is free that was not. */
  readonly onFree: () => void
}

export interface DeliveryLanes {
  /** Deliveries that can be under way at a time, those beside the lanes included. */
  readonly most: number
  /** Free lanes. */
  free(): number
  /** Of the free ones, those that servers may have that lag. */
  freeForLagging(): number
  open(load: LaneLoad): Lane
}

export interface LaneLoad {
  /** The last delivery to the server failed or took long. */
  readonly lagging: boolean
  /** What is held in memory as long as the delivery lasts. */
  readonly bytes: number
}

/** The place of one delivery, from its claim to its end. */
export interface Lane {
  /** Whether the delivery may connect to this address; where not, servers at it have their share already. */
  enter(address: string): boolean
  /** Milliseconds until it is this delivery's turn at the address that it could not enter. */
  untilTurn(): number
  /** Aborted where others need the place. */
  readonly signal: AbortSignal
  close(): void
}

/** So long a delivery keeps its lane. */
const LANE_MS = 250
/** Deliveries that have left their lane, in all and to one address. */
const MOST_BESIDE = 256
const MOST_BESIDE_PER_ADDRESS = 128
/** What they hold in memory together. */
const MOST_BYTES_BESIDE = 64 * 1024 * 1024
/** A delivery has so long, however many others need its place. */
const AT_LEAST_MS = 10_000
/** How often deliveries to lagging servers at one address, which has no lane free, may try again. */
const LAGGING_TURN_MS = 250

interface Place extends LaneLoad {
  readonly startedAt: number
  readonly ending: AbortController
  /** The network that it is connected to; undefined until it is known. */
  network: string | undefined
}

export function createDeliveryLanes({ maxParallel, uptime, onFree }: DeliveryLanesOptions): DeliveryLanes {
  const mostLagging = Math.max(1, Math.floor(maxParallel / 2))
  const perAddress = Math.max(1, Math.floor(maxParallel / 2))
  const laggingPerAddress = Math.max(1, Math.floor(maxParallel / 8))
  // Sets keep the order of arrival.
  const inLanes = new Set<Place>()
  const beside = new Set<Place>()
  /** When the next one may try again at a network whose lanes are taken. */
  const turns = createTurns(uptime)

  const count = (places: Set<Place>, counts: (place: Place) => boolean) => [...places].filter(counts).length

  /** Whether a delivery can leave its lane. Where there is no place for it, it takes that of one that had its time. */
  function makePlace(place: Place): boolean {
    for (;;) {
      const neighbours = [...beside].filter(({ network }) => network !== undefined && network === place.network)
      const held = [...beside].reduce((sum, { bytes }) => sum + bytes, place.bytes)
      const full = beside.size >= MOST_BESIDE || (beside.size > 0 && held > MOST_BYTES_BESIDE)
      const [longest] = neighbours.length >= MOST_BESIDE_PER_ADDRESS ? neighbours : full ? beside : []
      if (longest === undefined) return true
      if (uptime() - longest.startedAt < AT_LEAST_MS) return false
      beside.delete(longest)
      longest.ending.abort()
    }
  }

  function enter(place: Place, network: string): boolean {
    const there = (other: Place) => other !== place && other.network === network && other.lagging === place.lagging
    const [most, turnMs] = place.lagging ? [laggingPerAddress, LAGGING_TURN_MS] : [perAddress, LANE_MS / perAddress]
    if (place.network === network || beside.has(place) || count(inLanes, there) < most) {
      place.network = network
      return true
    }
    turns.book(place, `${network} ${place.lagging}`, turnMs)
    return false
  }

  return {
    most: maxParallel + MOST_BESIDE,
    free: () => maxParallel - inLanes.size,
    freeForLagging: () => Math.max(0, mostLagging - count(inLanes, ({ lagging }) => lagging)),
    open(load) {
      const place: Place = { ...load, startedAt: uptime(), ending: new AbortController(), network: undefined }
      inLanes.add(place)
      const leave = () => {
        if (!makePlace(place)) {
          timer = setTimeout(leave, LANE_MS)
          return
        }
        inLanes.delete(place)
        beside.add(place)
        onFree()
      }
      let timer = place.lagging ? undefined : setTimeout(leave, LANE_MS)
      return {
        signal: place.ending.signal,
        enter: (address) => enter(place, networkOf(address)),
        untilTurn: () => turns.left(place),
        close() {
          clearTimeout(timer)
          inLanes.delete(place)
          beside.delete(place)
        },
      }
    },
  }
}

/** Turns at what several wait for: one after the other, so that the many come back a few at a time. */
function createTurns(uptime: () => number) {
  const next = new Map<string, number>()
  const booked = new WeakMap<Place, number>()
  return {
    book(place: Place, key: string, everyMs: number): void {
      for (const [other, at] of next) if (at < uptime()) next.delete(other)
      const at = Math.max(next.get(key) ?? 0, uptime()) + everyMs
      next.set(key, at)
      booked.set(place, at)
    },
    left: (place: Place): number => Math.max(0, (booked.get(place) ?? 0) - uptime()),
  }
}
