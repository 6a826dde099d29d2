/** What reads the expressions sees what is wrong with them. */

import { expect, test } from 'vitest';
import { readPromql } from './support/promql.ts';
import { problemsOf } from './support/prometheus.ts';

test('an expression is read with its metrics, labels, ranges and functions', () => {
  expect(readPromql('histogram_quantile(0.99, sum by (le, a) (rate(x_bucket{job="t", b=~"c|d"}[$__rate_interval]))) / on (a) y')).toEqual({
    errors: [],
    selectors: [
      { metric: 'x_bucket', matchers: [
          { label: 'job', operator: '=', value: 't' },
          { label: 'b', operator: '=~', value: 'c|d' },
        ], range: '5m', function: 'rate', unless: false },
      { metric: 'y', matchers: [], range: undefined, function: undefined, unless: false },
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

test('values that labels have, patterns that fit some, and names that somebody chose are right', () => {
  expect(problemsOf('rate(txmesh_transaction_finished_total{txmesh_outcome="aborted", txmesh_reason=~"left|NO_.*"}[5m])')).toEqual([]);
  expect(problemsOf('txmesh_queue_backlog{txmesh_subscription="billing", component=~"$component"}')).toEqual([]);
  expect(problemsOf('rate(txmesh_request_finished_total{grpc_method=~"txmesh[.].*", grpc_method!~".*/(Pull|Watch.*)"}[5m])')).toEqual([]);
});

test.each<[string, string, RegExp]>([
  ['a bracket that is not closed', 'sum(rate(txmesh_store_writes_total[5m])', /no PromQL/],
  ['an operator without an operand', 'up >', /no PromQL/],
  ['a metric that nobody emits', 'txmesh_store_reads_total', /nobody emits txmesh_store_reads_total/],
  ['a histogram by its bare name', 'txmesh_store_write_duration', /nobody emits/],
  ['a label that it does not have', 'up{txmesh_service="queue"}', /up has no label txmesh_service/],
  ['a grouping by a label that it does not have', 'sum by (txmesh_topic) (txmesh_partition_led)', /no label txmesh_topic to group by/],
  ['a value that the label never has', 'rate(txmesh_transaction_finished_total{txmesh_outcome="commited"}[5m])', /txmesh_outcome is never "commited"/],
  ['a reason of another metric', 'rate(txmesh_store_failures_total{txmesh_reason="NO_LEADER"}[5m])', /txmesh_reason is never "NO_LEADER"/],
  ['one alternative that never is', 'rate(txmesh_request_finished_total{grpc_status=~"UNAVAILABLE|UNAVALABLE"}[5m])', /grpc_status is never "UNAVALABLE"/],
  ['a pattern that nothing has', 'txmesh_transaction_open{txmesh_state!~"abort.*ed"}', /txmesh_state is never "abort/],
  ['a component that is not scraped', 'up{component="coordinators"}', /component is never "coordinators"/],
  ['a job that is not scraped', 'up{job="tx-mesh"}', /job is never "tx-mesh"/],
  ['a method that nobody serves', 'rate(txmesh_request_finished_total{grpc_method!="txmesh.queue.v1.QueueService/Publsh"}[5m])', /grpc_method is never/],
  ['a value of a recorded series', 'component_method:txmesh_requests:rate5m{component="ques"}', /component is never "ques"/],
  ['a counter that is looked at', 'txmesh_store_writes_total > 0', /only grows/],
  ['a rate of a gauge', 'rate(txmesh_partition_led[5m])', /is no counter/],
  ['a rate of nothing but now', 'rate(txmesh_store_writes_total)', /needs a range/],
  ['a range of nobody\'s', 'txmesh_partition_led[5m]', /argument of nothing/],
])('the check sees %s', (_what, expression, problem) => {
  expect(problemsOf(expression).join('\n')).toMatch(problem);
});
