/** Reads PromQL with Prometheus' own grammar, and says what an expression depends on. */

import { parser } from '@prometheus-io/lezer-promql';

type Node = ReturnType<typeof parser.parse>['topNode'];

export interface Matcher {
  readonly label: string;
  readonly operator: '=' | '!=' | '=~' | '!~';
  /** Without its quotes. */
  readonly value: string;
}

export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
  /** The range in brackets, `5m`; undefined for what is looked at as it is now. */
  readonly range: string | undefined;
  /** The function that it is the argument of, `rate`; undefined where it is none's. */
  readonly function: string | undefined;
  /** An operand of `unless`: only whether it is there counts. */
  readonly unless: boolean;
}

export interface Expression {
  /** What is no PromQL: where, and what is there. */
  readonly errors: readonly string[];
  readonly selectors: readonly Selector[];
  /** Labels that are grouped or matched by, with the metrics below. */
  readonly groupings: readonly { readonly labels: readonly string[]; readonly metrics: readonly string[] }[];
}

/** Grafana fills these in. */
const VARIABLES: Readonly<Record<string, string>> = { $__rate_interval: '5m', $__range: '1h' };

export function readPromql(text: string): Expression {
  const source = Object.entries(VARIABLES).reduce((all, [name, value]) => all.replaceAll(name, value), text);
  const errors: string[] = [];
  const selectors: Selector[] = [];
  const groupings: { labels: string[]; metrics: string[] }[] = [];
  const textOf = ({ from, to }: Node): string => source.slice(from, to);
  const namesIn = (node: Node, name: string): string[] => find(node, name).map(textOf);

  const walk = (node: Node): void => {
    if (node.type.isError) errors.push(`at ${node.from}: ${source.slice(node.from, node.from + 20) || 'the end'}`);
    if (node.name === 'VectorSelector') selectors.push(selectorOf(node));
    if (node.name === 'AggregateExpr') {
      const modifier = node.getChild('AggregateModifier');
      if (modifier !== null) groupings.push({ labels: namesIn(modifier, 'LabelName'), metrics: metricsIn(node) });
    }
    if (node.name === 'MatchingModifierClause') groupings.push({ labels: namesIn(node, 'LabelName'), metrics: metricsIn(node.parent!) });
    for (let child = node.firstChild; child !== null; child = child.nextSibling) walk(child);
  };
  const metricsIn = (node: Node): string[] => find(node, 'VectorSelector').map((each) => textOf(each.getChild('Identifier')!));
  const matcherOf = (node: Node): Matcher => {
    const [label, operator, value] = ['LabelName', 'MatchOp', 'StringLiteral'].map((name) => textOf(node.getChild(name)!));
    return { label: label!, operator: operator as Matcher['operator'], value: value!.slice(1, -1).replaceAll('\\\\', '\\') };
  };
  const selectorOf = (node: Node): Selector => {
    const matrix = node.parent?.name === 'MatrixSelector' ? node.parent : undefined;
    const matchers = node.getChild('LabelMatchers');
    const call = (matrix ?? node).parent?.parent;
    const operand = node.parent?.name === 'OffsetExpr' ? node.parent : node;
    const range = matrix === undefined ? undefined : source.slice(node.to, matrix.to).replaceAll(/[[\]\s]/g, '');
    return {
      metric: node.getChild('Identifier') === null ? '' : textOf(node.getChild('Identifier')!),
      matchers: matchers === null ? [] : matchers.getChildren('UnquotedLabelMatcher').map(matcherOf),
      range,
      unless: operand.parent?.name === 'BinaryExpr' && operand.parent.getChild('Unless') !== null,
      function: call?.name === 'FunctionCall' ? namesIn(call, 'FunctionIdentifier')[0] : undefined,
    };
  };

  const { topNode } = parser.parse(source);
  walk(topNode);
  return { errors, selectors, groupings };
}

function find(node: Node, name: string): Node[] {
  if (node.name === name) return [node];
  const found: Node[] = [];
  for (let child = node.firstChild; child !== null; child = child.nextSibling) found.push(...find(child, name));
  return found;
}
