/** Telemetry can't be started as it was asked for; the message names the variable or setting to change. */
export class TelemetryError extends Error {
  override readonly name = 'TelemetryError';
}
