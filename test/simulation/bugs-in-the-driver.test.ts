import { BUGS } from './bugs.ts';
import { expectToFind } from './find.ts';

expectToFind(
  BUGS.filter(({ switches: { participant, coordinator, queue, counter } }) =>
    [participant, coordinator, queue, counter].every((kernel) => kernel === undefined)),
);
