/**
 * A user's program with OpenTelemetry, configured by the standard variables: one transaction of the
 * form named, then its end.
 *
 *   node traced-client.ts ADDRESS execute | local | interactive | unary
 */
import { NodeSDK } from '@opentelemetry/sdk-node';
import { trace } from '@opentelemetry/api';
import { connect, json, put } from 'txmesh/client';

const [address = '', form = 'execute'] = process.argv.slice(2);
const sdk = new NodeSDK({ instrumentations: [] });
sdk.start();
const mesh = connect(address);
await trace.getTracer('program').startActiveSpan('checkout', async (span) => {
  const key = `key-${Date.now()}`;
  switch (form) {
    case 'execute':
      await mesh.execute({ operations: [put('inventory', 'shelf', key, json(1)), put('payments', 'purse', key, json(2))] });
      break;
    case 'local':
      await mesh.transaction(async (tx) => tx.put('inventory', 'shelf', key, json(1)));
      break;
    case 'interactive': {
      await using tx = await mesh.begin();
      await tx.put('inventory', 'shelf', key, json(1));
      await tx.put('payments', 'purse', key, json(2));
      await tx.commit();
      break;
    }
    default:
      throw new Error(`no such form: ${form}`);
  }
  console.log(span.spanContext().traceId);
  span.end();
});
mesh.close();
await sdk.shutdown();
