/** A certificate authority for tests, by openssl, that names what it is asked to. */

import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { withOptionalCertificates } from '../../../services/runtime/security/optional-certificates.ts';
import { CertificateFiles } from '../../../services/runtime/transport/certificate-files.ts';
import { channelCredentials, serverCredentials } from '../../../services/runtime/transport/credentials.ts';

export interface IssuedFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

export interface Wanted {
  /** SPIFFE id; default: none. */
  readonly uri?: string;
  /** How long it is valid, -1: no more. Default 2. */
  readonly days?: number;
  /** Signed by itself instead of the authority. */
  readonly selfSigned?: boolean;
}

export const hasOpenssl = (): boolean => spawnSync('openssl', ['version']).status === 0;

export type Asks = 'required' | 'optional' | 'none';

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export class TestAuthority {
  private readonly folder: string;
  readonly caFile: string;
  private issued = 0;

  constructor(folder: string) {
    this.folder = folder;
    this.caFile = join(folder, 'ca.pem');
    this.openssl('req', '-x509', ...NEW_KEY, '-days', '2', '-subj', '/CN=test authority', '-keyout', join(folder, 'ca.key'), '-out', this.caFile);
  }

  issue({ uri, days = 2, selfSigned = false }: Wanted): IssuedFiles {
    const at = (ending: string): string => join(this.folder, `${this.issued}.${ending}`);
    this.issued++;
    // Its common name says what it is not: names nobody.
    const subject = ['-subj', '/CN=spiffe:\\/\\/txmesh\\/service\\/coordinator'];
    const names = ['DNS:localhost', 'IP:127.0.0.1', ...(uri === undefined ? [] : [`URI:${uri}`])].join(',');
    const files = { certFile: at('pem'), keyFile: at('key'), caFile: this.caFile };
    if (selfSigned) {
      this.openssl('req', '-x509', ...NEW_KEY, '-days', String(days), ...subject, '-addext', `subjectAltName=${names}`, '-keyout', files.keyFile, '-out', files.certFile);
      return files;
    }
    writeFileSync(at('names'), `subjectAltName=${names}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    this.openssl('req', ...NEW_KEY, ...subject, '-keyout', files.keyFile, '-out', at('csr'));
    const signing = ['-CA', this.caFile, '-CAkey', join(this.folder, 'ca.key'), '-CAcreateserial', '-days', String(days), '-extfile', at('names')];
    this.openssl('x509', '-req', '-in', at('csr'), ...signing, '-out', files.certFile);
    return files;
  }

  channel(wanted: Wanted): grpc.ChannelCredentials {
    return channelCredentials(new CertificateFiles(this.issue(wanted)));
  }

  /** Without a certificate of its own. */
  get strangers(): grpc.ChannelCredentials {
    return channelCredentials(new CertificateFiles({ caFile: this.caFile }));
  }

  /** @param asks whether callers must show a certificate, may, or can't. */
  server(wanted: Wanted, asks: Asks): grpc.ServerCredentials {
    const { certFile, keyFile, caFile } = this.issue(wanted);
    if (asks === 'none') return serverCredentials(new CertificateFiles({ certFile, keyFile }));
    const credentials = serverCredentials(new CertificateFiles({ certFile, keyFile, caFile }));
    return asks === 'required' ? credentials : withOptionalCertificates(credentials);
  }

  private openssl(...args: string[]): void {
    execFileSync('openssl', args, { stdio: 'ignore' });
  }
}

