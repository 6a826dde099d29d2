/** The certificates that the manifests in deploy/ need: whom they name, which authority vouches for them. */

/** Of the mesh and of etcd: who may call a server may not, by that alone, write to the store. */
export type Authority = 'mesh' | 'etcd';

export interface Needed {
  /** The Secret that holds it. */
  readonly secret: string;
  readonly authority: Authority;
  readonly commonName: string;
  /** As openssl writes subjectAltName. Empty for one that only calls. */
  readonly names: readonly string[];
}

/** The services of base/. */
export const SERVICES = ['coordinator', 'participant', 'queue', 'counter'] as const;

const ETCD_MEMBERS = ['etcd-0', 'etcd-1', 'etcd-2'];
/** For port-forwards. */
const LOOPBACK = ['DNS:localhost', 'IP:127.0.0.1', 'IP:::1'];

/** As SPIFFE ids, by which policies name them: `deploy/components/mtls/policy.yaml`. */
const TRUST_DOMAIN = 'spiffe://txmesh';

/** Who calls the mesh from outside: programs, and people with rights of their own. */
export const CLIENTS = ['client', 'operator'] as const;

/**
 * @param clients names of those who call; each has a certificate of its own.
 * @param participants names of users' own services that the mesh calls, by the names of their Services, and that call it.
 */
export function neededCertificates(namespace: string, clients: readonly string[] = CLIENTS, participants: readonly string[] = []): Needed[] {
  const service = (name: string): string[] => [name, `${name}.${namespace}`, `${name}.${namespace}.svc`].map((host) => `DNS:${host}`);
  const replicas = (headless: string): string[] => [`DNS:*.${headless}.${namespace}.svc`, `DNS:*.${headless}.${namespace}.svc.cluster.local`];
  return [
    ...SERVICES.map((name) => ({
      secret: `${name}-tls`,
      authority: 'mesh' as const,
      commonName: name,
      // Clients that balance by themselves are given the headless name, and check it at every replica.
      names: [...service(name), ...service(`${name}-headless`), ...replicas(`${name}-headless`), ...LOOPBACK, `URI:${TRUST_DOMAIN}/service/${name}`],
    })),
    ...clients.map((name) => ({ secret: `${name}-tls`, authority: 'mesh' as const, commonName: name, names: [`URI:${TRUST_DOMAIN}/client/${name}`] })),
    ...participants.map((name) => ({
      secret: `${name}-tls`,
      authority: 'mesh' as const,
      commonName: name,
      names: [...service(name), `URI:${TRUST_DOMAIN}/participant/${name}`],
    })),
    {
      secret: 'etcd-tls',
      authority: 'etcd',
      commonName: 'etcd',
      // The servers use short names, which a wildcard may not stand for.
      names: [...service('etcd'), ...ETCD_MEMBERS.map((member) => `DNS:${member}.etcd-headless`), ...replicas('etcd-headless'), ...LOOPBACK],
    },
    { secret: 'etcd-client-tls', authority: 'etcd', commonName: 'txmesh', names: [`URI:${TRUST_DOMAIN}/store/client`] },
  ];
}
