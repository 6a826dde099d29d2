/** Whether somebody else could listen on the way to an address. */

/**
 * Whether a connection to it, or from it, stays on this machine.
 * @param address a name or an address, with or without a port: "localhost", "127.0.0.1:50051", "[::1]:50051"
 */
export function isLoopback(address: string): boolean {
  const host = /^\[(.*)\](?::\d+)?$/.exec(address)?.[1] ?? address.replace(/(?<=^[^:]*):\d+$/, '');
  return host === 'localhost' || host === '::1' || /^(::ffff:)?127(\.\d+){3}$/.test(host);
}
