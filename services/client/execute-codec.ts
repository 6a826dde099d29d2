/** What an ExecuteStream carries. */

import {
  CoordinatorServiceService,
  ExecuteStreamRequest,
  type ExecuteCall,
  type ExecuteStreamResponse,
} from '../gen/txmesh/coordinator/v1/coordinator.ts';
import type { BatchedStream, StreamKind } from './batched-stream.ts';

const { path, responseDeserialize } = CoordinatorServiceService.executeStream;

export const EXECUTE_STREAM: StreamKind<ExecuteCall, ExecuteStreamRequest, ExecuteStreamResponse> = {
  path,
  request: ExecuteStreamRequest,
  responseDeserialize,
  frame: (calls) => ({ calls }),
};

export type ExecuteStream = BatchedStream<ExecuteCall, ExecuteStreamRequest, ExecuteStreamResponse>;
