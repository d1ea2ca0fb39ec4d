import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Answer, LoadRequest, Settings, Usage } from '../contenders/support/serve.js'
import { nodeOn } from './cores.js'
import { exchange } from './exchange.js'

/** A contender in its own process. It is stopped while another one is measured. */
export interface ContenderProcess {
  /** The port and the requests of a server. Undefined for work without HTTP. */
  readonly served?: { port: number; requests: readonly LoadRequest[]; expect: number; follow?: string }
  usage(): Promise<Usage>
  /** Collects garbage while the process is idle, if it has `--expose-gc`, and returns the memory in use. */
  collect(): Promise<Usage>
  work(milliseconds: number): Promise<{ count: number; perSecond: number; latencies: number[] }>
  pause(): void
  resume(): void
  close(): Promise<void>
}

const ANSWER_MS = 20_000
/** Time in which a contender drops its database. */
const CLOSE_MS = 30_000

/** Starts a contender. Rejects with the reason if it does not become ready in time. */
export async function startContender (
  file: string,
  settings: Settings,
  { core, readyMs = 120_000, flags = [] }: { core?: number | undefined; readyMs?: number; flags?: readonly string[] }
): Promise<ContenderProcess> {
  const { execPath, execArgv } = nodeOn(core)
  const child = fork(fileOf(file), [JSON.stringify(settings)], {
    execPath,
    execArgv: [...execArgv, ...flags],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, NODE_ENV: 'production' }
  })
  let errors = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(-2000)
  })
  try {
    const ready = await exchange<Answer>(child, null, readyMs)
    return {
      ...('port' in ready ? { served: ready } : {}),
      usage: async () => (await exchange<{ usage: Usage }>(child, { usage: true }, ANSWER_MS)).usage,
      collect: async () => (await exchange<{ usage: Usage }>(child, { collect: true }, ANSWER_MS)).usage,
      work: (milliseconds) => exchange(child, { work: milliseconds }, milliseconds + ANSWER_MS),
      pause: () => child.kill('SIGSTOP'),
      resume: () => child.kill('SIGCONT'),
      close: () => close(child)
    }
  } catch (error) {
    await close(child)
    throw new Error(`${(error as Error).message}${firstLine(errors)}`, { cause: error })
  }
}

function fileOf (name: string): string {
  const path = name.startsWith('libraries/') ? `../../../benchmarks/${name}.js` : `../contenders/${name}.js`
  return fileURLToPath(new URL(path, import.meta.url))
}

function firstLine (errors: string): string {
  const line = /^.*Error.*$/m.exec(errors)?.[0]
  return line === undefined ? '' : `: ${line.trim()}`
}

async function close (child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGCONT')
  if (child.connected) child.send({ close: true }, () => {}) // it may have ended
  const timer = setTimeout(() => child.kill('SIGKILL'), CLOSE_MS)
  await ended
  clearTimeout(timer)
}
