/**
 * `npm run --silent certificates | kubectl apply -f -`: the Secrets with certificates that the
 * manifests in deploy/ need, on standard output. Run again with the same authorities, it renews them.
 *
 *   --namespace NAME      default txmesh
 *   --days N              how long the certificates are valid, default 90
 *   --clients A,B,…       who calls the mesh: a Secret A-tls with the identity spiffe://txmesh/client/A, and so
 *                         on; default client,operator
 *   --authorities FOLDER  where the authorities' keys are kept, default .cache/certificates; guard it
 */

import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { issue } from './issue.ts';
import { CLIENTS, neededCertificates, SERVICES } from './needed.ts';

const { values: options } = parseArgs({
  options: {
    namespace: { type: 'string', default: 'txmesh' },
    days: { type: 'string', default: '90' },
    clients: { type: 'string', default: CLIENTS.join(',') },
    authorities: { type: 'string', default: resolve(import.meta.dirname, '../../.cache/certificates') },
  },
});

const clients = options.clients.split(',').filter((name) => name !== '');
for (const name of clients)
  if (!/^[a-z]([a-z0-9-]{0,40}[a-z0-9])?$/.test(name) || [...SERVICES, 'etcd', 'etcd-client'].includes(name))
    throw new Error(`--clients: "${name}" must be of a-z, 0-9 and -, beginning with a letter, and no name of a service`);

const base64 = (text: string): string => Buffer.from(text).toString('base64');

const items = neededCertificates(options.namespace, clients).map((needed) => {
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
