/**
 * `npm run --silent certificates | kubectl apply -f -`: the Secrets with certificates that the
 * manifests in deploy/ need, on standard output. Run again with the same authorities, it renews them.
 *
 *   --namespace NAME      default txmesh
 *   --days N              how long the certificates are valid, default 90
 *   --authorities FOLDER  where the authorities' keys are kept, default .cache/certificates; guard it
 */

import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { issue } from './issue.ts';
import { neededCertificates } from './needed.ts';

const { values: options } = parseArgs({
  options: {
    namespace: { type: 'string', default: 'txmesh' },
    days: { type: 'string', default: '90' },
    authorities: { type: 'string', default: resolve(import.meta.dirname, '../../.cache/certificates') },
  },
});

const base64 = (text: string): string => Buffer.from(text).toString('base64');

const items = neededCertificates(options.namespace).map((needed) => {
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
