/** Certificates in a folder as Kubernetes mounts a Secret: each file leads through one link, which a renewal changes. For tests. */

import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { issue, type Issued } from '../../../../deploy/certificates/issue.ts';

const FILES = { ca: 'ca.crt', cert: 'tls.crt', key: 'tls.key' } as const;

export class SecretVolume {
  readonly files: { readonly caFile: string; readonly certFile: string; readonly keyFile: string };
  private readonly folder: string;
  private renewals = 0;

  constructor(folder: string, secret: Issued) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    this.files = { caFile: join(folder, FILES.ca), certFile: join(folder, FILES.cert), keyFile: join(folder, FILES.key) };
    this.renew(secret);
    for (const name of Object.values(FILES)) symlinkSync(join('..data', name), join(folder, name));
  }

  /** All files at once. */
  renew(secret: Issued): void {
    const [before, now] = [`..${this.renewals}`, `..${++this.renewals}`];
    mkdirSync(join(this.folder, now));
    for (const [part, name] of Object.entries(FILES)) writeFileSync(join(this.folder, now, name), secret[part as keyof Issued]);
    symlinkSync(now, join(this.folder, '..data_tmp'));
    renameSync(join(this.folder, '..data_tmp'), join(this.folder, '..data'));
    rmSync(join(this.folder, before), { recursive: true, force: true });
  }
}

/** A certificate for loopback from the authority that is kept in the folder. */
export function issueLocal(authorityFolder: string, commonName = 'replica'): Issued {
  return issue({ secret: commonName, authority: 'mesh', commonName, names: ['DNS:localhost', 'IP:127.0.0.1'] }, authorityFolder, 2);
}
