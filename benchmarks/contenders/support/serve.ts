// The part of a contender that talks to the harness. It imports nothing, because starts are measured too.

/** Settings of a contender. A case of the harness changes some of them. */
export interface Settings {
  /** Folder for the contender's files. The harness deletes it. */
  folder: string
  /** Rows in the table of users. */
  users: number
  /** Tokens that are used in turn. With `spread`, each belongs to another user. */
  tokens: number
  spread: boolean
  /** Collects statistics of the tables (`ANALYZE`, `PRAGMA optimize`) before the application starts. */
  analyzed: boolean
  transport: 'bearer' | 'cookie'
  /** Number of backends of the same kind. The token belongs to the last one. */
  backends: number
  /** True if the contender uses its optional cache, of verified tokens or of users. */
  cached: boolean
  /** True if a logout ends a JWT. */
  revocable: boolean
  /** True if the contender has the feature `sessions()`. */
  listed: boolean
  /** True if the tables and the user exist already. */
  prepared: boolean
}

/** One HTTP request as the load generator sends it. */
export interface LoadRequest {
  method: 'GET' | 'POST'
  path: string
  headers?: Record<string, string>
  body?: string
}

/** A server that is ready to listen, and the requests that it is measured with. */
export interface Served {
  listen(): Promise<number>
  close(): Promise<unknown>
  requests: readonly LoadRequest[]
  /** The status of every reply. Default 200. */
  expect?: number
  /**
   * A property of the JSON bodies: each connection sends the first time its own request, and then the value of the
   * reply before. Then there must be a request for each connection.
   */
  follow?: string
}

/** Work that is measured without HTTP: one operation at a time. */
export interface Work {
  run(): Promise<unknown>
}

/** Processor time in microseconds since the start of the process, and memory in bytes. */
export interface Usage {
  cpu: number
  rss: number
  heapUsed: number
}

export type Order = { usage: true } | { work: number } | { collect: true } | { close: true }
export type Answer =
  | { port: number; requests: readonly LoadRequest[]; expect: number; follow?: string }
  | { working: true }
  | { usage: Usage }
  | { count: number; perSecond: number; latencies: number[] }
  | { error: string }

/** Time in which closed connections are cleared up. */
const IDLE_MS = 50
/** V8 keeps the hidden classes of objects that no longer exist for two collections. */
const COLLECTIONS = 4

/** Starts the contender with the settings of its only argument, and follows the orders of the harness. */
export function serve (build: (settings: Settings) => Promise<Served | Work>): void {
  start(build).catch((error: unknown) => {
    answer({ error: error instanceof Error ? error.message : String(error) })
    process.disconnect?.()
  })
}

async function start (build: (settings: Settings) => Promise<Served | Work>): Promise<void> {
  const served = await build(JSON.parse(process.argv[2] ?? '{}') as Settings)
  const close = async (): Promise<void> => {
    if ('close' in served) await served.close()
    process.exit()
  }
  process.once('disconnect', close)
  process.on('SIGINT', () => {}) // Ctrl-C is sent to all processes; the harness ends this one
  process.on('message', (order: Order) => {
    if ('usage' in order) answer({ usage: readUsage() })
    if ('collect' in order) setTimeout(collect, IDLE_MS)
    if ('work' in order && 'run' in served) work(served, order.work).then(answer, fail)
    if ('close' in order) close().catch(fail)
  })
  if ('run' in served) return answer({ working: true })
  const { requests, expect = 200, follow } = served
  answer({ port: await served.listen(), requests, expect, ...(follow === undefined ? {} : { follow }) })
}

/** Collects garbage as the timer of an idle process does it: no callback of `process.nextTick` is running. */
function collect (): void {
  for (let i = 0; i < COLLECTIONS; i++) globalThis.gc?.()
  answer({ usage: readUsage() })
}

function fail (error: unknown): void {
  answer({ error: String(error) })
}

function answer (message: Answer): void {
  process.send?.(message)
}

function readUsage (): Usage {
  const { user, system } = process.cpuUsage()
  const { rss, heapUsed } = process.memoryUsage()
  return { cpu: user + system, rss, heapUsed }
}

async function work ({ run }: Work, milliseconds: number): Promise<Answer> {
  const latencies: number[] = []
  const begin = performance.now()
  let now = begin
  while (now < begin + milliseconds) {
    const before = now
    await run()
    now = performance.now()
    latencies.push(now - before)
  }
  return { count: latencies.length, perSecond: (latencies.length / (now - begin)) * 1000, latencies }
}
