import { REFERENCES, type Case } from '../cases.js'
import type { ContenderProcess } from './contender-process.js'
import { measureRounds, type Ready } from './rounds.js'
import { createScene, type RunOptions, type Skipped } from './scene.js'
import { summarize, type CaseResult } from './summary.js'

/**
 * Largest number of contenders that exist at the same time. With all of them, a second process of `bare` reaches 0.96
 * of the first one; in groups it reaches 1.
 */
const GROUP = 8

/** The results of cases, and the smallest number of rounds of a group. */
interface Measured {
  rounds: number
  results: CaseResult[]
  skipped: Skipped[]
}

/** Measures the cases group by group. Each group has processes of its own, and its share of the remaining time. */
export async function runCases (cases: readonly Case[], options: RunOptions): Promise<Measured> {
  const all: Measured = { rounds: options.rounds, results: [], skipped: [] }
  const groups = groupsOf(cases)
  const { deadline } = options
  for (const [index, group] of groups.entries()) {
    const now = performance.now()
    options.deadline = now + (deadline - now) / (groups.length - index)
    const { rounds, results, skipped } = await runGroup(group, options)
    all.rounds = Math.min(all.rounds, rounds)
    all.results.push(...results)
    all.skipped.push(...skipped)
  }
  options.deadline = deadline
  return all
}

/** Returns groups of cases with the same reference. The sides of a case are neighbours, so most share a group. */
function groupsOf (cases: readonly Case[]): Case[][] {
  return REFERENCES.flatMap(({ name }) => {
    const alike = cases.filter(({ reference }) => reference === name)
    const count = Math.ceil(alike.length / GROUP)
    const size = Math.ceil(alike.length / count)
    return Array.from({ length: count }, (_, index) => alike.slice(index * size, (index + 1) * size))
  })
}

/** Starts the contenders of the cases, measures them in rounds, and ends them. */
async function runGroup (cases: readonly Case[], options: RunOptions): Promise<Measured> {
  const scene = createScene(options)
  try {
    const references = new Map<string, ContenderProcess>()
    for (const each of REFERENCES) {
      if (cases.some(({ reference }) => reference === each.name)) references.set(each.name, await scene.start(each))
    }
    const ready: Ready[] = []
    const skipped: Skipped[] = []
    for (const each of cases) {
      if (options.interrupted) break
      options.report(`start: ${each.name}`)
      try {
        ready.push({ case: each, contender: await scene.start(each), samples: [] })
      } catch (error) {
        skipped.push({ name: each.name, reason: (error as Error).message })
      }
    }
    const rounds = await measureRounds(ready, references, Object.assign(options, { generator: scene.generator }))
    const results: CaseResult[] = []
    for (const each of ready) {
      if (each.samples.length > 0) results.push(summarize(each.case, each.samples))
      else skipped.push({ name: each.case.name, reason: each.failure ?? 'the run ended before' })
    }
    return { rounds, results, skipped }
  } finally {
    await scene.end()
  }
}
