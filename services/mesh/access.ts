/** Every method that a process of a mesh serves, with what it needs. A method without an entry does not compile. */

import { coordinatorAccess } from '../coordinator/handlers/access.ts';
import { CoordinatorServiceService } from '../coordinator/handlers/handlers.ts';
import { counterAccess, counterOperations, counterPartitionAccess } from '../counter/handlers/access.ts';
import { CounterPartitionServiceService, CounterServiceService } from '../counter/handlers/handlers.ts';
import { keyValueAccess, keyValueOperations } from '../participant/handlers/access.ts';
import { KeyValueServiceService } from '../participant/handlers/handlers.ts';
import { queueAccess, queueOperations } from '../queue/handlers/access.ts';
import { queueDefinition } from '../queue/handlers/handlers.ts';
import { systemClock } from '../runtime/clock.ts';
import { clusterAccess } from '../runtime/cluster/access-handlers.ts';
import { participantAccess } from '../runtime/participant/handlers/access.ts';
import { faultAccess } from '../runtime/faults/access.ts';
import { FaultServiceService } from '../runtime/faults/handlers.ts';
import { ClusterServiceService } from '../runtime/router/cluster-handlers.ts';
import { Catalogue } from '../runtime/security/catalogue.ts';
import { STANDARD_SERVICES } from '../runtime/security/standard-access.ts';
import { participantService } from '../runtime/transport/links/index.ts';

export function catalogueOfMesh(): Catalogue {
  const operations = { ...keyValueOperations, ...queueOperations, ...counterOperations };
  return new Catalogue(
    [
      [CoordinatorServiceService, coordinatorAccess(operations)],
      [KeyValueServiceService, keyValueAccess],
      [queueDefinition(), queueAccess],
      [CounterServiceService, counterAccess],
      [CounterPartitionServiceService, counterPartitionAccess],
      [participantService(systemClock), participantAccess],
      [ClusterServiceService, clusterAccess],
      [FaultServiceService, faultAccess],
      ...STANDARD_SERVICES,
    ],
    operations,
  );
}
