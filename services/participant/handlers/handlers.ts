/** KeyValueService, put together. */

import { KeyValueServiceService } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { Handlers } from '../../runtime/transport/service.ts';
import { ReadHandlers } from './reads.ts';
import { scan } from './scan.ts';
import type { KeyValueServices } from './service.ts';
import { watchKeys } from './watch.ts';
import { WriteHandlers } from './writes.ts';

export { KeyValueServiceService };

export function keyValueHandlers(services: KeyValueServices): Handlers<typeof KeyValueServiceService> {
  const reads = new ReadHandlers(services);
  const writes = new WriteHandlers(services);
  return {
    get: (request, context) => reads.get(request, context),
    batchGet: (request, context) => reads.batchGet(request, context),
    scan: (request, context) => scan(services, request, context),
    put: (request, context) => writes.put(request, context),
    delete: (request, context) => writes.delete(request, context),
    executeLocal: (request, context) => writes.executeLocal(request, context),
    watch: (request, context) => watchKeys(services, request, context),
    listVersions: (request, context) => reads.listVersions(request, context),
  };
}
