import { expect, test, vi } from 'vitest';
import { runServer } from './server.ts';

test('a word that is no command ends with 2 and names the commands', async () => {
  const complain = vi.spyOn(console, 'error').mockImplementation(() => undefined);
  expect(await runServer(['bakcup', '--output', 'monday'], {})).toBe(2);
  expect(complain.mock.calls).toEqual([[expect.stringMatching(/^txmesh: unknown command "bakcup"; there are backup, restore, raise-epochs, policy,/)]]);
  complain.mockRestore();
});
