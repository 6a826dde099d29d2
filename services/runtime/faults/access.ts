/** What each method of FaultService needs, where it is served. */

import type { AccessTable, MethodAccess } from '../security/access.ts';
import type { FaultServiceService } from './handlers.ts';

const admin: MethodAccess = { right: 'admin', about: [] };

export const faultAccess: AccessTable<typeof FaultServiceService> = { setFault: admin, listFaults: admin, clearFaults: admin };
