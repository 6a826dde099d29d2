/** Certificates for tests, made by openssl: one authority, and a pair from it for this machine's loopback. */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Certificates {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Undefined where there is no openssl. */
export function makeCertificates(folder: string): Certificates | undefined {
  const at = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): boolean => spawnSync('openssl', args, { stdio: 'ignore' }).status === 0;
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  writeFileSync(at('names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n');
  const made =
    openssl('req', '-x509', ...newKey, '-days', '2', '-subj', '/CN=test authority', '-keyout', at('ca.key'), '-out', at('ca.pem')) &&
    openssl('req', ...newKey, '-subj', '/CN=replica', '-keyout', at('replica.key'), '-out', at('replica.csr')) &&
    openssl('x509', '-req', '-in', at('replica.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '2', '-extfile', at('names'), '-out', at('replica.pem'));
  return made ? { ca: at('ca.pem'), cert: at('replica.pem'), key: at('replica.key') } : undefined;
}
