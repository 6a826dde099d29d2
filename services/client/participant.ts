/**
 * txmesh/participant: makes a service of your own a participant in transactions.
 *
 * ```ts
 * await serveParticipant({ name: 'loyalty', mesh: '127.0.0.1:50051', listen: '127.0.0.1:50061', resourceManager });
 * ```
 */

export type { Content } from './operations.ts';
export type { ConnectOptions } from './options.ts';
export { BRANCH_TABLES_SQL } from './participant/resource-manager.ts';
export type { Attempt, Branch, Mark, PrepareContext, Recovered, ResourceManager, Vote } from './participant/resource-manager.ts';
export { serveParticipant } from './participant/serve.ts';
export type { Participant, ServeOptions } from './participant/serve.ts';
export { serverTlsFromFiles, tlsFromFiles } from './tls.ts';
export type { TlsOptions } from './tls.ts';
