/** Certificate authorities in a folder, and certificates from them, by openssl. */

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Authority, Needed } from './needed.ts';

/** In PEM. */
export interface Issued {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
const AUTHORITY_DAYS = 3650;

/** @param folder where the authorities are kept; those that are missing are made, readable by this user alone. */
export function issue(needed: Needed, folder: string, days: number): Issued {
  const authority = authorityIn(folder, needed.authority);
  const work = mkdtempSync(join(tmpdir(), 'txmesh-certificate-'));
  const at = (name: string): string => join(work, name);
  try {
    const names = needed.names.length === 0 ? '' : `subjectAltName=${needed.names.join(',')}\n`;
    writeFileSync(at('extensions'), `${names}basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n`);
    openssl('req', '-new', ...NEW_KEY, '-subj', `/O=txmesh/CN=${needed.commonName}`, '-keyout', at('key'), '-out', at('request'));
    const serial = ['-set_serial', `0x${randomBytes(16).toString('hex')}`];
    const signing = ['-CA', authority.cert, '-CAkey', authority.key, ...serial, '-days', String(days), '-extfile', at('extensions')];
    openssl('x509', '-req', '-in', at('request'), ...signing, '-out', at('cert'));
    return { ca: read(authority.cert), cert: read(at('cert')), key: read(at('key')) };
  } finally {
    rmSync(work, { recursive: true });
  }
}

function authorityIn(folder: string, name: Authority): { readonly cert: string; readonly key: string } {
  const files = { cert: join(folder, `${name}-ca.crt`), key: join(folder, `${name}-ca.key`) };
  if (existsSync(files.cert) && existsSync(files.key)) return files;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const subject = `/O=txmesh/CN=${name} authority`;
  openssl('req', '-x509', ...NEW_KEY, '-days', String(AUTHORITY_DAYS), '-subj', subject, '-keyout', files.key, '-out', files.cert);
  return files;
}

const read = (file: string): string => readFileSync(file, 'utf8');

function openssl(...args: string[]): void {
  try {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: Buffer };
    throw new Error(code === 'ENOENT' ? 'openssl is not on PATH, and certificates are made with it' : `openssl ${args[0]}: ${stderr?.toString()}`, { cause: error });
  }
}
