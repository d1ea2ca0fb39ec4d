// Measures the time that the plugin adds to the start of a Fastify application. Each start is a separate process.
// Starts with and without the plugin take turns, and medians are printed. Processor time excludes other work of the
// machine.
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { DatabaseAdapter } from 'fastify-users'
import { median, printTable, spread } from './helpers/statistics.js'

const MODES = ['bare', 'memory', 'sqlite', 'fields'] as const
type Mode = (typeof MODES)[number]
const PHASES = ['fastify', 'application', 'modules', 'registration', 'ready'] as const
/** Elapsed time and processor time, in milliseconds. */
type Cost = Record<'wall' | 'cpu', number>
type Phases = Record<(typeof PHASES)[number], Cost>

const AIM_MS = 50
const STARTS = 9
const DESCRIPTIONS: Record<Mode, string> = {
  bare: 'bare Fastify',
  memory: 'with memory()',
  sqlite: "with sqlite(':memory:' handed in)",
  fields: 'with memory() and two custom fields'
}

const mode = process.argv[2]
if (mode === undefined) compareStarts()
else console.log(JSON.stringify(await start(mode as Mode)))

/** Measures one start. Opening the database and loading TypeBox count as work of the application. */
async function start (mode: Mode): Promise<Phases> {
  const clock = stopwatch()
  const { default: Fastify } = await import('fastify')
  const app = Fastify()
  app.get('/', async () => ({ hello: 'world' }))
  const fastify = clock()
  const Database = mode === 'sqlite' ? (await import('better-sqlite3')).default : undefined
  const database = Database && new Database(':memory:')
  const typebox = mode === 'fields' ? await import('@sinclair/typebox') : undefined
  const application = clock()
  const none = clock()
  if (mode === 'bare') {
    await app.ready()
    return { fastify, application, modules: none, registration: none, ready: clock() }
  }

  const {
    default: users,
    bearerTransport,
    cookieTransport,
    databaseStrategy,
    jwtStrategy,
    userSchemas
  } = await import('fastify-users')
  const createAdapter = async (): Promise<DatabaseAdapter> =>
    database === undefined
      ? (await import('fastify-users/memory')).memory()
      : (await import('fastify-users/sqlite')).sqlite(database)
  const adapter = await createAdapter()
  const modules = clock()
  const fields =
    typebox === undefined
      ? {}
      : {
          display_name: typebox.Type.String({ maxLength: 80 }),
          born: typebox.Type.Optional(typebox.Type.String({ format: 'date' }))
        }
  await app.register(users, {
    adapter,
    secret: randomBytes(32).toString('base64url'),
    schemas: userSchemas(fields),
    backends: [
      { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
      { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) }
    ]
  })
  const registration = clock()
  await app.ready()
  return { fastify, application, modules, registration, ready: clock() }
}

/** Returns a function that returns the cost since its last call. */
function stopwatch (): () => Cost {
  let last = performance.now()
  let lastCpu = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(lastCpu)
    const cost = { wall: performance.now() - last, cpu: (user + system) / 1000 }
    last = performance.now()
    lastCpu = process.cpuUsage()
    return cost
  }
}

function compareStarts (): void {
  const starts: Record<Mode, Phases[]> = { bare: [], memory: [], sqlite: [], fields: [] }
  for (let i = 0; i <= STARTS; i++) {
    for (const mode of MODES) {
      const phases = startProcess(mode)
      if (i > 0) starts[mode].push(phases) // the first start fills the file cache
    }
  }

  const bareReady = median(starts.bare.map(({ ready }) => ready.wall))
  const bareCpu = median(starts.bare.map(({ ready }) => ready.cpu))
  const registering = (mode: Mode): number[] =>
    starts[mode].map(({ registration, ready }) => registration.wall + ready.wall - bareReady)
  const registeringCpu = (mode: Mode): number =>
    median(starts[mode].map(({ registration, ready }) => registration.cpu + ready.cpu)) - bareCpu
  printTable(`boot: milliseconds by phase, medians of ${STARTS} starts (two backends, all routes)`, [
    ['', ...PHASES],
    ...MODES.map((mode) => [
      DESCRIPTIONS[mode],
      ...PHASES.map((phase) => median(starts[mode].map((phases) => phases[phase].wall)).toFixed(1))
    ])
  ])
  console.log(
    '  application: its own driver or TypeBox; modules: import of fastify-users; registration: await app.register(); ready: await app.ready()\n'
  )
  for (const mode of ['memory', 'sqlite', 'fields'] as const) {
    console.log(
      `boot: ${DESCRIPTIONS[mode]}: registration and ready add ${median(registering(mode)).toFixed(0)} ms (${spread(registering(mode), 0)}; aim ${AIM_MS}), ${registeringCpu(mode).toFixed(0)} ms of processor time; ` +
        `loading the modules ${median(starts[mode].map(({ modules }) => modules.wall)).toFixed(0)} ms, ${median(starts[mode].map(({ modules }) => modules.cpu)).toFixed(0)} ms of processor time (Fastify's own: ${median(starts[mode].map(({ fastify }) => fastify.cpu)).toFixed(0)})`
    )
  }
}

function startProcess (mode: Mode): Phases {
  const { status, stdout, stderr } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), mode], {
    encoding: 'utf8'
  })
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as Phases
}
