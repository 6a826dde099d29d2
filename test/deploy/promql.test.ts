/** What reads the expressions sees what is wrong with them. */

import { expect, test } from 'vitest';
import { readPromql } from './support/promql.ts';
import { problemsOf } from './support/prometheus.ts';

test('an expression is read with its metrics, labels, ranges and functions', () => {
  expect(readPromql('histogram_quantile(0.99, sum by (le, a) (rate(x_bucket{job="t", b=~"c|d"}[$__rate_interval]))) / on (a) y')).toEqual({
    errors: [],
    selectors: [
      { metric: 'x_bucket', labels: ['job', 'b'], range: '5m', function: 'rate', unless: false },
      { metric: 'y', labels: [], range: undefined, function: undefined, unless: false },
    ],
    groupings: [
      { labels: ['le', 'a'], metrics: ['x_bucket'] },
      { labels: ['a'], metrics: ['x_bucket', 'y'] },
    ],
  });
});

test('a counter may be looked at for whether it is there', () => {
  expect(problemsOf('txmesh_store_writes_total unless txmesh_store_writes_total offset 15m')).toEqual([]);
});

test.each<[string, string, RegExp]>([
  ['a bracket that is not closed', 'sum(rate(txmesh_store_writes_total[5m])', /no PromQL/],
  ['an operator without an operand', 'up >', /no PromQL/],
  ['a metric that nobody emits', 'txmesh_store_reads_total', /nobody emits txmesh_store_reads_total/],
  ['a histogram by its bare name', 'txmesh_store_write_duration', /nobody emits/],
  ['a label that it does not have', 'up{txmesh_service="queue"}', /up has no label txmesh_service/],
  ['a grouping by a label that it does not have', 'sum by (txmesh_topic) (txmesh_partition_led)', /no label txmesh_topic to group by/],
  ['a counter that is looked at', 'txmesh_store_writes_total > 0', /only grows/],
  ['a rate of a gauge', 'rate(txmesh_partition_led[5m])', /is no counter/],
  ['a rate of nothing but now', 'rate(txmesh_store_writes_total)', /needs a range/],
  ['a range of nobody\'s', 'txmesh_partition_led[5m]', /argument of nothing/],
])('the check sees %s', (_what, expression, problem) => {
  expect(problemsOf(expression).join('\n')).toMatch(problem);
});
