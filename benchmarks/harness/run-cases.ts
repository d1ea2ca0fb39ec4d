import { REFERENCES, type Case } from '../cases.js'
import type { ContenderProcess } from './contender-process.js'
import { measureRounds, type Ready } from './rounds.js'
import { createScene, type RunOptions, type Skipped } from './scene.js'
import { summarize, type CaseResult } from './summary.js'

/** Starts the contenders of the cases, measures them in rounds, and ends them. */
export async function runCases (
  cases: readonly Case[],
  options: RunOptions
): Promise<{ rounds: number; results: CaseResult[]; skipped: Skipped[] }> {
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
