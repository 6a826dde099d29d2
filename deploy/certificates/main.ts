/** `npm run certificates`: the Secrets with certificates that the manifests in deploy/ need, on standard output. */

import { resolve } from 'node:path';
import { endWrong, readFlags } from '../local/flags.ts';
import { issue } from './issue.ts';
import { CLIENTS, neededCertificates, SERVICES } from './needed.ts';

const USAGE = `
npm run --silent certificates -- [FLAG …] | kubectl apply -f -

Prints Secrets with the certificates that the manifests need. Run again with the same authorities, it renews
them. It needs openssl on PATH.

  --namespace NAME       default txmesh
  --days N               how long the certificates are valid, default 90
  --clients A,B,…        who calls the mesh: a Secret A-tls with the identity spiffe://txmesh/client/A, and so
                         on; default ${CLIENTS.join(',')}
  --participants A,B,…   services of your own that take part in transactions: a Secret A-tls for the Service A, with
                         the identity spiffe://txmesh/participant/A, and so on; default none
  --authorities FOLDER   where the authorities' keys are kept, default .cache/certificates; guard it
`;

const options = readFlags(USAGE, {
  namespace: { type: 'string', default: 'txmesh' },
  days: { type: 'string', default: '90' },
  clients: { type: 'string', default: CLIENTS.join(',') },
  participants: { type: 'string', default: '' },
  authorities: { type: 'string', default: resolve(import.meta.dirname, '../../.cache/certificates') },
});

/** What has a name already. */
const taken = new Set<string>([...SERVICES, 'etcd', 'etcd-client']);

function namesOf(flag: 'clients' | 'participants'): string[] {
  const names = options[flag].split(',').filter((name) => name !== '');
  for (const name of names) {
    if (!/^[a-z]([a-z0-9-]{0,40}[a-z0-9])?$/.test(name)) endWrong(`--${flag}: "${name}" must be of a-z, 0-9 and -, beginning with a letter`, USAGE);
    if (taken.has(name)) endWrong(`--${flag}: there is a certificate "${name}" already; take another name`, USAGE);
    taken.add(name);
  }
  return names;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

const items = neededCertificates(options.namespace, namesOf('clients'), namesOf('participants')).map((needed) => {
  const { ca, cert, key } = issue(needed, options.authorities, Number(options.days));
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: { name: needed.secret, namespace: options.namespace, labels: { 'app.kubernetes.io/part-of': 'txmesh' } },
    data: { 'ca.crt': base64(ca), 'tls.crt': base64(cert), 'tls.key': base64(key) },
  };
});
console.log(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }, null, 2));
