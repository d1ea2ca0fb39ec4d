import { connect } from 'node:net'
import { STARTS } from '../cases.js'
import type { LoadRequest } from '../contenders/support/serve.js'
import { median } from '../helpers/statistics.js'
import { startContender } from './contender-process.js'
import { quartiles, round, type CaseResult } from './summary.js'
import { createScene, type RunOptions, type Skipped } from './scene.js'

interface Start {
  milliseconds: number
  cpuMicroseconds: number
  rssMegabytes: number
}

type Name = (typeof STARTS)[number]

/** Measures the time from the start of a process to its first reply, and its memory then. Contenders take turns. */
export async function measureStarts (
  names: readonly Name[],
  starts: number,
  options: RunOptions
): Promise<{ results: CaseResult[]; skipped: Skipped[] }> {
  const scene = createScene(options)
  const requests = new Map<Name, LoadRequest>()
  const measured = new Map<Name, Start[]>(names.map((name) => [name, []]))
  const skipped: Skipped[] = []
  const start = async (name: Name): Promise<Start> => {
    const begin = performance.now()
    const settings = { ...scene.settings, prepared: requests.has(name) }
    const contender = await startContender(fileOf(name), settings, scene.place)
    try {
      const { served } = contender
      if (served === undefined) throw new Error('the contender is no server')
      const request = requests.get(name) ?? served.requests[0]
      if (request === undefined) throw new Error('the contender has no request')
      requests.set(name, request)
      await ask(served.port, request)
      const milliseconds = performance.now() - begin
      const { cpu, rss } = await contender.usage()
      return { milliseconds, cpuMicroseconds: cpu, rssMegabytes: rss / 1e6 }
    } finally {
      await contender.close()
    }
  }

  try {
    for (const name of names) {
      try {
        await start(name) // it also prepares the database and fills the file cache
      } catch (error) {
        measured.delete(name)
        skipped.push({ name, reason: (error as Error).message })
      }
    }
    for (let i = 1; i <= starts && !options.interrupted; i++) {
      const order = [...measured.keys()]
      for (const name of i % 2 === 0 ? order : order.reverse()) measured.get(name)?.push(await start(name))
      options.report(`round ${i} of ${starts} starts`)
    }
    return { results: summarizeStarts(measured), skipped }
  } finally {
    await scene.end()
  }
}

function fileOf (name: Name): string {
  return name === 'bare-start' ? 'bare' : name
}

function summarizeStarts (measured: ReadonlyMap<Name, readonly Start[]>): CaseResult[] {
  const bare = measured.get('bare-start') ?? []
  return [...measured].map(([name, starts]) => {
    const of = (key: keyof Start, list = starts): number => median(list.map((each) => each[key]))
    const times = starts.map((each) => each.milliseconds / of('milliseconds', bare))
    const rates = times.map((time) => 1 / time)
    return {
      name,
      ratio: round(median(times), 3),
      quartiles: quartiles(times),
      rps: round(1000 / of('milliseconds'), 2),
      p50: round(of('milliseconds'), 1),
      p99: round(Math.max(...starts.map(({ milliseconds }) => milliseconds)), 1),
      reference: 'bare-start',
      throughputRatio: round(median(rates), 3),
      throughputQuartiles: quartiles(rates),
      cpuMicroseconds: round(of('cpuMicroseconds'), 0),
      cpuRatio: round(of('cpuMicroseconds') / of('cpuMicroseconds', bare), 3),
      rounds: starts.length,
      leftOut: 0,
      rssMegabytes: round(of('rssMegabytes'), 1),
      rssRatio: round(of('rssMegabytes') / of('rssMegabytes', bare), 3)
    }
  })
}

/** Sends a request without loading an HTTP client, and waits for the reply. Rejects unless its status is 200. */
function ask (port: number, { method, path, headers = {} }: LoadRequest): Promise<void> {
  const lines = Object.entries({ host: 'localhost', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => {
      socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
    })
    socket.once('error', reject)
    socket.once('data', (chunk) => {
      socket.destroy()
      if (chunk.toString('latin1').startsWith('HTTP/1.1 200 ')) resolve()
      else reject(new Error(`unexpected reply: ${chunk.toString('latin1').slice(0, 200)}`))
    })
  })
}
