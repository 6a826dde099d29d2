/** The port can't be listened on; the message names the setting to change. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** @param setting the flag that chooses the port. */
export function explainListen(host: string, port: number, cause: string, setting: string): string {
  const variable = `TXMESH_${setting.slice(2).toUpperCase().replaceAll('-', '_')}`;
  if (cause.includes('EADDRINUSE'))
    return `port ${port} on ${host} is in use: stop what listens there, or choose another port with ${setting} (${variable})`;
  if (cause.includes('EACCES'))
    return `port ${port} on ${host} may not be listened on by this user: choose one above 1023 with ${setting} (${variable})`;
  return `can't listen on ${host}, port ${port} (${setting}, ${variable}): ${cause}`;
}
