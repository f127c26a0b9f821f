/** The least that a server can do with what strangers send: read it, keep nothing, and refuse. It shows what the machine itself does. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'

/** Each message asks for the longest turn of its event loop since the last one, in milliseconds. */
const RESOLUTION_MS = 10
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
delay.enable()

const REFUSED = '{"errcode":"M_UNAUTHORIZED","error":"nobody"}'
const server = createServer((request, response) => {
  request.resume().once('end', () => response.writeHead(401, { 'content-type': 'application/json' }).end(REFUSED))
})

process.once('disconnect', () => process.exit())
process.on('message', () => {
  process.send?.(Math.max(0, delay.max / 1e6 - RESOLUTION_MS))
  delay.reset()
})
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
