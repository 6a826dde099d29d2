/**
 * Structured logs: one JSON object a line on standard error, with the trace that they belong to; and the
 * same to OpenTelemetry, where it is asked for.
 */

import { isSpanContextValid, SeverityNumber, trace, type Attributes, type Logger } from '@opentelemetry/api';
import { pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type Fields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

export interface LogTargets {
  /** Takes one line; default: standard error, at once, so that a crash loses none. */
  readonly write?: (line: string) => void;
  /** Takes every entry of the level, too. It adds the active span's ids by itself. */
  readonly logger?: Logger | undefined;
}

const SEVERITIES: Readonly<Record<LogLevel, SeverityNumber>> = {
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
};

export function createLog(level: LogLevel, base: Fields = {}, { write, logger: emitter }: LogTargets = {}): Log {
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
  const at = (method: LogLevel) => (message: string, fields: Fields = {}) => {
    logger[method](fields, message);
    if (emitter === undefined || !logger.isLevelEnabled(method)) return;
    emitter.emit({ severityNumber: SEVERITIES[method], severityText: method.toUpperCase(), body: message, attributes: attributesOf(fields) });
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** Attributes have no objects: those become JSON. */
function attributesOf(fields: Fields): Attributes {
  const attributes: Attributes = {};
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') attributes[name] = value;
    else if (value !== undefined) attributes[name] = value instanceof Error ? String(value) : JSON.stringify(value);
  }
  return attributes;
}
