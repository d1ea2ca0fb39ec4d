import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { REFERENCES, type Case } from '../cases.js'
import type { Settings } from '../contenders/support/serve.js'
import type { Arguments } from './arguments.js'
import { startContender, type ContenderProcess } from './contender-process.js'
import type { Cores } from './cores.js'
import { startLoadGenerator } from './load-generator.js'
import { measureRounds, type Ready } from './rounds.js'
import { summarize, type CaseResult } from './summary.js'

/** A case without a result. */
export interface Skipped {
  name: string
  reason: string
}

export interface RunOptions extends Arguments {
  cores: Cores | null
  /** Time at which no further round begins, in milliseconds of `performance.now()`. */
  deadline: number
  report(text: string): void
}

const USUAL: Omit<Settings, 'folder'> = {
  users: 1000,
  tokens: 1,
  spread: false,
  analyzed: false,
  transport: 'bearer',
  backends: 1,
  cached: false,
  prepared: false
}

/** Starts the contenders of the cases, measures them in rounds, and ends them. */
export async function runCases (
  cases: readonly Case[],
  { cores, deadline, report, ...args }: RunOptions
): Promise<{ rounds: number; results: CaseResult[]; skipped: Skipped[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-users-bench-'))
  const generator = startLoadGenerator(cores?.client)
  const started: ContenderProcess[] = []
  const start = async ({ contender, settings }: Case): Promise<ContenderProcess> => {
    const running = await startContender(contender, { ...USUAL, ...settings, folder }, { core: cores?.server })
    started.push(running)
    running.pause()
    return running
  }
  const end = async (): Promise<void> => {
    generator.close()
    await Promise.all(started.map((each) => each.close()))
    rmSync(folder, { recursive: true, force: true })
  }
  const stop = (): void => {
    end().finally(() => process.exit(130))
  }
  process.once('SIGINT', stop).once('SIGTERM', stop)

  try {
    const references = new Map<string, ContenderProcess>()
    for (const each of REFERENCES) {
      if (cases.some(({ reference }) => reference === each.name)) references.set(each.name, await start(each))
    }
    const ready: Ready[] = []
    const skipped: Skipped[] = []
    for (const each of cases) {
      report(`start: ${each.name}`)
      try {
        ready.push({ case: each, contender: await start(each), samples: [] })
      } catch (error) {
        skipped.push({ name: each.name, reason: (error as Error).message })
      }
    }
    const rounds = await measureRounds(ready, references, { ...args, cores, generator, deadline, report })
    const results: CaseResult[] = []
    for (const each of ready) {
      if (each.samples.length > 0) results.push(summarize(each.case, each.samples))
      else skipped.push({ name: each.case.name, reason: each.failure ?? 'the time was over' })
    }
    return { rounds, results, skipped }
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
    await end()
  }
}
