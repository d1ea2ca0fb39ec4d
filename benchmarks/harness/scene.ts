import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Case } from '../cases.js'
import type { Settings } from '../contenders/support/serve.js'
import type { Arguments } from './arguments.js'
import { startContender, type ContenderProcess } from './contender-process.js'
import type { Cores } from './cores.js'
import { startLoadGenerator, type LoadGenerator } from './load-generator.js'

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
  /** Set by Ctrl-C: the round ends, and the results so far are written. A second Ctrl-C ends the run at once. */
  interrupted: boolean
}

/** The processes and the folder of one run. */
export interface Scene {
  readonly generator: LoadGenerator
  readonly settings: Settings
  /** The core of contenders. */
  readonly place: { core: number | undefined }
  /** Starts the contender of a case, and pauses it. */
  start(each: Case): Promise<ContenderProcess>
  /** Ends all processes and deletes the folder. */
  end(): Promise<void>
}

const USUAL: Omit<Settings, 'folder'> = {
  users: 1000,
  tokens: 1,
  spread: false,
  analyzed: false,
  transport: 'bearer',
  backends: 1,
  cached: false,
  revocable: false,
  listed: false,
  prepared: false
}

/** Time for a contender that fills a large table. */
const READY_MS = 600_000

/** Creates the folder and the load generator. They also end if this process is interrupted. */
export function createScene (options: RunOptions): Scene {
  const { cores } = options
  const folder = mkdtempSync(join(tmpdir(), 'fastify-users-bench-'))
  const generator = startLoadGenerator(cores?.client)
  const settings = { ...USUAL, folder }
  const place = { core: cores?.server }
  const started: ContenderProcess[] = []
  const clear = async (): Promise<void> => {
    generator.close()
    await Promise.all(started.map((each) => each.close()))
    rmSync(folder, { recursive: true, force: true })
  }
  const stop = (signal: string): void => {
    if (signal === 'SIGINT' && !options.interrupted) {
      options.interrupted = true
      options.report('round ends early')
    } else clear().finally(() => process.exit(130))
  }
  process.on('SIGINT', stop).once('SIGTERM', stop)
  return {
    generator,
    settings,
    place,
    async start (each) {
      const options = { ...place, readyMs: READY_MS, flags: ['--expose-gc'] }
      const contender = await startContender(each.contender, { ...settings, ...each.settings }, options)
      started.push(contender)
      contender.pause()
      return contender
    },
    async end () {
      process.off('SIGINT', stop).off('SIGTERM', stop)
      await clear()
    }
  }
}
