/** Connections of callers by the address that grpc-js tells of them, so that one can be cut. */

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';

/** Published by Node for every request of an HTTP/2 server, before its handler runs. */
const STREAM_CREATED = 'http2.server.stream.created';

export class Connections {
  private readonly sessions = new Map<string, ServerHttp2Session>();
  private readonly note = (message: unknown): void => {
    const { session } = (message as { readonly stream: ServerHttp2Stream }).stream;
    if (session === undefined || session.destroyed) return;
    const { remoteAddress, remotePort } = session.socket;
    const peer = `${remoteAddress}:${remotePort}`;
    if (this.sessions.get(peer) === session) return;
    this.sessions.set(peer, session as ServerHttp2Session);
    session.once('close', () => {
      if (this.sessions.get(peer) === session) this.sessions.delete(peer);
    });
  };

  constructor() {
    subscribe(STREAM_CREATED, this.note);
  }

  /** Cuts the connection of a peer, as a broken network does. @throws Error if there is none. */
  cut(peer: string): void {
    const session = this.sessions.get(peer);
    if (session === undefined) throw new Error(`there is no connection of ${peer} to cut`);
    session.destroy();
  }

  close(): void {
    unsubscribe(STREAM_CREATED, this.note);
    this.sessions.clear();
  }
}
