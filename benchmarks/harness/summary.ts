import type { Case } from '../cases.js'
import { median } from '../helpers/statistics.js'
import { findDisturbance, type Sample } from './disturbance.js'

/** The result of a case, as in `results.json`. */
export interface CaseResult {
  name: string
  /** Median of the cost of the reference divided by that of the case, in processor time of the process. */
  ratio: number
  /** First and third quartile of the ratio. */
  quartiles: readonly [number, number]
  /** Median of requests per second. */
  rps: number
  /** Medians of the rounds' percentiles of latencies, in milliseconds. */
  p50: number
  p99: number
  /** The case that the ratio relates to. */
  reference: string
  /** Median of requests per second divided by those of the reference, with quartiles. */
  throughputRatio: number
  throughputQuartiles: readonly [number, number]
  /** Processor time of one request, in microseconds. */
  cpuMicroseconds: number
  /** Number of rounds that count, and of rounds that were left out because they were disturbed. */
  rounds: number
  leftOut: number
  /** Only of starts: the ratio of processor time, resident memory in megabytes, and the ratio of memory. */
  cpuRatio?: number
  rssMegabytes?: number
  rssRatio?: number
}

/** The smallest number of undisturbed rounds. If fewer remain, all rounds count. */
const ENOUGH = 3

/** Returns medians and quartiles of the undisturbed samples. */
export function summarize ({ name, reference, server = false }: Case, samples: readonly Sample[]): CaseResult {
  const calm = samples.filter((sample) => findDisturbance(sample, server) === null)
  const used = calm.length >= ENOUGH ? calm : samples
  const of = (read: (sample: Sample) => number): number[] => used.map(read)
  const costs = of(({ before, slot, after }) => (before.cpu + after.cpu) / 2 / slot.cpu)
  const rates = of(({ before, slot, after }) => slot.perSecond / ((before.perSecond + after.perSecond) / 2))
  return {
    name,
    ratio: round(median(costs), 3),
    quartiles: quartiles(costs),
    rps: round(median(of(({ slot }) => slot.perSecond)), 1),
    p50: round(median(of(({ slot }) => slot.p50)), 3),
    p99: round(median(of(({ slot }) => slot.p99)), 3),
    reference,
    throughputRatio: round(median(rates), 3),
    throughputQuartiles: quartiles(rates),
    cpuMicroseconds: round(median(of(({ slot }) => slot.cpu)), 2),
    rounds: used.length,
    leftOut: samples.length - used.length
  }
}

export function quartiles (values: readonly number[]): readonly [number, number] {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number): number => round(sorted[Math.round(share * (sorted.length - 1))] ?? NaN, 3)
  return [at(0.25), at(0.75)]
}

export function round (value: number, digits: number): number {
  return Number(value.toFixed(digits))
}
