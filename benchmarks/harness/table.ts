import { findLibraries, findPairs, type Pair } from './pairs.js'
import type { Results } from './results.js'
import type { CaseResult } from './summary.js'

/** Returns the Markdown tables of the results. */
export function writeTables (results: Results): string {
  const { date, machine, rounds, versions, cases, skipped, growth, memory } = results
  const pairs = findPairs(cases)
  const routes = pairs.filter(({ ours }) => ours.reference === 'bare')
  const hashes = pairs.filter(({ ours }) => ours.reference !== 'bare' && ours.reference !== 'bare-start')
  const starts = cases.filter(({ reference }) => reference === 'bare-start')
  const pinned = machine.pinned ? 'server and load generator on cores of their own' : 'processes NOT pinned to cores'
  return [
    `${date}, ${rounds} rounds. ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGigabytes} GB, ${machine.os}, Node.js ${machine.node}, ${pinned}.`,
    `Packages: ${Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(', ')}.`,
    ...pairSection('### Guarded routes, as a ratio to a route without a guard', routes),
    ...section('### Other packages with a row of SQLite', findLibraries(cases).map(({ name, ...each }) => [name, ...figures(each)]), ['package', ...FIGURES]),
    ...pairSection('### Login and registration, as a ratio to the password hash alone', hashes),
    ...section('### Start of the process to the first guarded reply: lower is better', starts.map(startLine), [
      'application',
      'time',
      'to bare Fastify',
      'quartiles',
      'processor time to bare Fastify',
      'resident memory',
      'to bare Fastify'
    ]),
    ...section('### Growth', growth.map(({ name, ...each }) => [name, ...figures(each)]), ['case', ...FIGURES]),
    ...section(
      '### Memory',
      memory.map((each) => [
        each.name,
        each.requests.toLocaleString('en'),
        `${each.heapMegabytes} MB`,
        `${each.rssMegabytes} MB`
      ]),
      ['case', 'guarded requests', 'heap after a collection', 'resident']
    ),
    ...section('### All cases', cases.map(({ name, ...each }) => [`\`${name}\``, ...figures(each)]), ['case', ...FIGURES]),
    ...(skipped.length === 0 ? [] : ['Skipped:', skipped.map(({ name, reason }) => `- \`${name}\`: ${reason}`).join('\n')])
  ].join('\n\n') + '\n'
}

const FIGURES = ['processor time', 'quartiles', 'throughput', 'quartiles', 'requests/s', 'p50', 'p99'] as const

function figures (each: Omit<CaseResult, 'name'>): string[] {
  return [
    each.ratio.toFixed(2),
    range(each.quartiles),
    each.throughputRatio.toFixed(2),
    range(each.throughputQuartiles),
    Math.round(each.rps).toLocaleString('en'),
    `${each.p50.toFixed(2)} ms`,
    `${each.p99.toFixed(2)} ms`
  ]
}

function pairSection (title: string, pairs: readonly Pair[]): string[] {
  const rows = pairs.map(({ label, ours, hand }) => [
    label,
    ours.ratio.toFixed(2),
    range(ours.quartiles),
    hand?.ratio.toFixed(2) ?? '–',
    hand === undefined ? '–' : range(hand.quartiles),
    hand === undefined ? '–' : (ours.ratio / hand.ratio).toFixed(2)
  ])
  return section(title, rows, ['case', 'fastify-users', 'quartiles', 'by hand', 'quartiles', 'ours ÷ by hand'])
}

function startLine ({ name, ratio, quartiles, p50, ...each }: CaseResult): string[] {
  const { cpuRatio = NaN, rssMegabytes = NaN, rssRatio = NaN } = each
  return [
    name,
    `${p50.toFixed(0)} ms`,
    ratio.toFixed(2),
    range(quartiles),
    cpuRatio.toFixed(2),
    `${rssMegabytes.toFixed(0)} MB`,
    rssRatio.toFixed(2)
  ]
}

function range ([low, high]: readonly [number, number]): string {
  return `${low.toFixed(2)}–${high.toFixed(2)}`
}

function section (title: string, rows: readonly string[][], head: readonly string[]): string[] {
  return rows.length === 0 ? [] : [title, markdown(head, rows)]
}

function markdown (head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const rule = head.map((_, index) => (index === 0 ? '---' : '--:'))
  return [line(head), line(rule), ...rows.map(line)].join('\n')
}
