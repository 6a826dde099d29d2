/** Structured logs: one JSON object a line on standard error, with the trace that they belong to. */

import { isSpanContextValid, trace } from '@opentelemetry/api';
import { pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type Fields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

/** @param write takes one line; default: standard error, at once, so that a crash loses none. */
export function createLog(level: LogLevel, base: Fields = {}, write?: (line: string) => void): Log {
  const target = write === undefined ? pino.destination({ dest: 2, sync: true }) : { write };
  const logger = pino(
    {
      level,
      base,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'message',
      // Trace ids in the form that OpenTelemetry's log data model gives for JSON.
      mixin() {
        const context = trace.getActiveSpan()?.spanContext();
        if (context === undefined || !isSpanContextValid(context)) return {};
        return { trace_id: context.traceId, span_id: context.spanId };
      },
    },
    target,
  );
  const at = (method: LogLevel) => (message: string, fields: Fields = {}) => logger[method](fields, message);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
