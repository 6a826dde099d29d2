/** Connections that do not come about. */

import * as grpc from '@grpc/grpc-js';

/**
 * How long a channel may look for a connection before it is given up and the next call begins anew.
 * grpc-js puts no bound on an attempt. Where packets are lost, as they are until the network policies of a
 * new pod are in place, TCP waits twice as long after each that it sends: an attempt that began too early
 * would last for a minute after the way is clear.
 */
export const CONNECT_BOUND_MS = 5_000;

export const isReady = (client: grpc.Client): boolean => client.getChannel().getConnectivityState(false) === grpc.connectivityState.READY;
