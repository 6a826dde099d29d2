/**
 * Certificates in PEM files that are looked at again and again, for as long as somebody uses them: new
 * handshakes take what the files say now, connections that stand go on. What does not fit together (half
 * a file, a key of another certificate) is not used, and those before stay. Files are known to have
 * changed through symbolic links too: Kubernetes renews a mounted Secret by changing one.
 *
 * grpc-js's own FileWatcherCertificateProvider takes whatever it reads: with half a file the server
 * refuses every connection.
 */

import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { getCACertificates } from 'node:tls';
import type { experimental } from '@grpc/grpc-js';
import { systemClock, type Clock, type Timer } from '../clock.ts';

export interface TlsFiles {
  /** What this end shows: its certificate, with those between it and the authority, and the key. */
  readonly certFile?: string;
  readonly keyFile?: string;
  /** Authorities that the other end's certificate must come from. */
  readonly caFile?: string;
}

export interface CertificateFilesOptions {
  readonly clock?: Clock;
  /** How often the files are looked at, milliseconds. Default 10,000. */
  readonly pollMs?: number;
  /** Told when new certificates are in use, and (with `error`) when they can't be. Default: nobody. */
  log?(message: string, fields: Record<string, unknown>): void;
}

interface Certificates {
  readonly ca: Buffer;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

type CaListener = experimental.CaCertificateUpdateListener;
type IdentityListener = experimental.IdentityCertificateUpdateListener;

const DEFAULT_POLL_MS = 10_000;

export class CertificateFiles implements experimental.CertificateProvider {
  readonly files: TlsFiles;
  private readonly clock: Clock;
  private readonly pollMs: number;
  private readonly log: (message: string, fields: Record<string, unknown>) => void;
  private readonly caListeners = new Set<CaListener>();
  private readonly identityListeners = new Set<IdentityListener>();
  private current: Certificates;
  /** Of the files that {@link current} is from. */
  private version: string;
  /** Why those that are there now are not used, as was said last. */
  private problem: string | undefined;
  private timer: Timer | undefined;

  /** @throws Error naming the file that can't be used. */
  constructor(files: TlsFiles, { clock = systemClock, pollMs = DEFAULT_POLL_MS, log }: CertificateFilesOptions = {}) {
    if ((files.certFile === undefined) !== (files.keyFile === undefined)) throw new Error('a certificate and its key go together; one of them is missing');
    this.files = files;
    this.clock = clock;
    this.pollMs = pollMs;
    this.log = log ?? ((): void => undefined);
    this.version = versionOf(files);
    this.current = load(files);
  }

  addCaCertificateListener(listener: CaListener): void {
    this.caListeners.add(listener);
    this.watch();
    // Later, as grpc-js expects: its server begins to listen for it when this returns.
    process.nextTick(() => this.tellCa(listener));
  }

  removeCaCertificateListener(listener: CaListener): void {
    this.caListeners.delete(listener);
    this.rest();
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.identityListeners.add(listener);
    this.watch();
    process.nextTick(() => this.tellIdentity(listener));
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.identityListeners.delete(listener);
    this.rest();
  }

  private watch(): void {
    if (this.timer !== undefined) return;
    this.look();
    this.schedule();
  }

  private schedule(): void {
    this.timer = this.clock.setTimer(this.pollMs, () => {
      this.look();
      this.schedule();
    });
  }

  private rest(): void {
    if (this.caListeners.size > 0 || this.identityListeners.size > 0) return;
    this.timer?.cancel();
    this.timer = undefined;
  }

  private look(): void {
    // Taken before the files are read: one that changes meanwhile is read again next time.
    const version = versionOf(this.files);
    if (version === this.version) return;
    const before = this.current;
    try {
      this.current = load(this.files);
    } catch (error) {
      // They are tried again each time: what could not be read may be readable then, and look the same.
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== this.problem) this.log('new certificate files are not used, those before stay in use', { error: reason });
      this.problem = reason;
      return;
    }
    this.version = version;
    this.problem = undefined;
    if (isSame(before, this.current)) return;
    this.log('new certificates are used from now on', described(this.current));
    for (const listener of this.caListeners) this.tellCa(listener);
    for (const listener of this.identityListeners) this.tellIdentity(listener);
  }

  private tellCa(listener: CaListener): void {
    if (this.caListeners.has(listener)) listener({ caCertificate: this.current.ca });
  }

  private tellIdentity(listener: IdentityListener): void {
    const { cert, key } = this.current;
    if (this.identityListeners.has(listener) && cert !== undefined && key !== undefined) listener({ certificate: cert, privateKey: key });
  }
}

/** @throws Error naming the file that can't be used. */
function load({ caFile, certFile, keyFile }: TlsFiles): Certificates {
  // Without an authority of our own, those that Node trusts.
  const ca = caFile === undefined ? Buffer.from(getCACertificates('default').join('\n')) : read(caFile);
  if (caFile !== undefined) parse(ca, caFile);
  if (certFile === undefined || keyFile === undefined) return { ca, cert: undefined, key: undefined };
  const [cert, key] = [read(certFile), read(keyFile)];
  const [leaf] = parse(cert, certFile);
  const privateKey = using(keyFile, 'holds no private key', () => createPrivateKey(key));
  if (!leaf!.checkPrivateKey(privateKey)) throw new Error(`the key in ${keyFile} does not belong to the certificate in ${certFile}`);
  return { ca, cert, key };
}

const BLOCK = /-----BEGIN ((?:TRUSTED |X509 )?CERTIFICATE)-----[^-]*-----END \1-----/g;
const BEGINNING = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/g;

/** @throws Error where there is none, or one is cut off: TLS would pass over it in silence. */
function parse(pem: Buffer, file: string): X509Certificate[] {
  const text = pem.toString('latin1');
  const blocks = text.match(BLOCK) ?? [];
  if (blocks.length < (text.match(BEGINNING) ?? []).length) throw new Error(`the TLS file ${file} is cut off`);
  if (blocks.length === 0) throw new Error(`the TLS file ${file} holds no certificate in PEM`);
  return blocks.map((block) => using(file, 'holds what is no certificate', () => new X509Certificate(block)));
}

function using<T>(file: string, what: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new Error(`the TLS file ${file} ${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

const read = (file: string): Buffer => using(file, "can't be read", () => readFileSync(file));

/** Changes when one of the files does. */
function versionOf({ caFile, certFile, keyFile }: TlsFiles): string {
  return [caFile, certFile, keyFile].map((path) => (path === undefined ? '' : versionOfFile(path))).join(' ');
}

function versionOfFile(path: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(path);
    return `${ino}:${size}:${mtimeMs}`;
  } catch (error) {
    // Reading it says what is wrong.
    return (error as NodeJS.ErrnoException).code ?? 'absent';
  }
}

function isSame(a: Certificates, b: Certificates): boolean {
  const same = (one: Buffer | undefined, other: Buffer | undefined): boolean => (one === undefined ? other === undefined : other !== undefined && one.equals(other));
  return same(a.ca, b.ca) && same(a.cert, b.cert) && same(a.key, b.key);
}

/** For the log; of the key, nothing. */
function described({ cert }: Certificates): Record<string, unknown> {
  if (cert === undefined) return {};
  const { subject, serialNumber, validTo } = new X509Certificate(cert);
  return { subject: subject?.replaceAll('\n', ', '), serialNumber, validTo };
}
