/** A socket as systemd holds one: bound, and outliving the processes that are given it. */

export interface BoundSocket {
  readonly fd: number
  readonly port: number
  close(): void
}

/** Binds a free port of 127.0.0.1. Nobody in this process accepts on it, which net.Server would. */
export function boundSocket(): BoundSocket {
  const { binding } = process as unknown as { binding(name: string): TcpBinding }
  const { TCP, constants } = binding.call(process, 'tcp_wrap')
  const handle = new TCP(constants.SERVER)
  if (handle.bind('127.0.0.1', 0) !== 0) throw new Error('no free port')
  const bound: { port?: number } = {}
  handle.getsockname(bound)
  return { fd: handle.fd, port: bound.port ?? 0, close: () => handle.close() }
}

interface TcpBinding {
  readonly TCP: new (
    type: number,
  ) => {
    readonly fd: number
    bind(address: string, port: number): number
    getsockname(into: { port?: number }): number
    close(): void
  }
  readonly constants: { readonly SERVER: number }
}
