/**
 * The order in which the targets of SRV records are tried.
 * https://www.rfc-editor.org/rfc/rfc2782 "Usage rules"
 */
import type { ServiceRecord } from './resolver.ts'

/**
 * Lowest priority first; among equals by chance, in proportion to their weight. The target `.` means that the service is
 * decidedly not offered, and is left out.
 * @param random uniform in [0, 1)
 */
export function orderServices(records: readonly ServiceRecord[], random: () => number): readonly ServiceRecord[] {
  const offered = records.filter(({ target }) => target !== '' && target !== '.')
  const priorities = [...new Set(offered.map(({ priority }) => priority))].sort((left, right) => left - right)
  return priorities.flatMap((priority) =>
    drawByWeight(
      offered.filter((record) => record.priority === priority),
      random,
    ),
  )
}

function drawByWeight(records: readonly ServiceRecord[], random: () => number): ServiceRecord[] {
  // Those of weight 0 come first, so that a draw of 0 gives them their small chance.
  const left = [...records].sort((one, other) => Number(one.weight > 0) - Number(other.weight > 0))
  const drawn: ServiceRecord[] = []
  while (left.length > 0) {
    const draw = Math.floor(random() * (left.reduce((sum, { weight }) => sum + weight, 0) + 1))
    let sum = 0
    const at = left.findIndex(({ weight }) => {
      sum += weight
      return sum >= draw
    })
    drawn.push(...left.splice(at, 1))
  }
  return drawn
}
