import type { Case } from '../cases.js'
import type { ContenderProcess } from './contender-process.js'
import type { Sample } from './disturbance.js'
import { measureSlot, type Slot, type SlotOptions } from './slot.js'

/** A case whose contender is ready. */
export interface Ready {
  readonly case: Case
  readonly contender: ContenderProcess
  readonly samples: Sample[]
  /** The reason why the case is no longer measured. */
  failure?: string
}

export interface RoundOptions extends Omit<SlotOptions, 'connections'> {
  rounds: number
  /** Connections of cases that do not set a number. */
  connections: number
  /** Time at which no further round begins, in milliseconds of `performance.now()`. */
  deadline: number
  report(text: string): void
  /** Set by Ctrl-C: no further slot begins. */
  interrupted: boolean
}

/** Requests after which the code of a contender counts as compiled, and the time limit for them. */
const WARM_UP_REQUESTS = 25_000
const WARM_UP_MS = 6000
/** For password hashes: the code of a login is compiled later, because a hash takes as long as many requests. */
const HASH_WARM_UP_MS = 15_000
const WARM_UP_SLOT_MS = 600
/** Password hashes need longer slots, because one takes as long as thousands of requests. */
const HASH_MS = 600

/** Measures all cases in each round, in another order each time, and the reference before and after each of them. */
export async function measureRounds (
  all: readonly Ready[],
  references: ReadonlyMap<string, ContenderProcess>,
  options: RoundOptions
): Promise<number> {
  await warmUp(all, references, options)
  const begin = performance.now()
  for (let round = 1; round <= options.rounds; round++) {
    const alike = (performance.now() - begin) / Math.max(1, round - 1)
    if (performance.now() + (round === 1 ? 0 : alike) > options.deadline) return round - 1
    for (const [name, reference] of references) {
      const cases = shuffle(all.filter((each) => each.case.reference === name))
      if (cases.length > 0) await measureRound(cases, reference, options)
    }
    if (options.interrupted) return round
    options.report(`round ${round} of ${options.rounds}: ${((performance.now() - begin) / 1000 / round).toFixed(0)} s each`)
  }
  return options.rounds
}

async function measureRound (
  cases: readonly Ready[],
  reference: ContenderProcess,
  options: RoundOptions
): Promise<void> {
  let before: Slot | undefined
  let connections = 0
  for (const each of cases) {
    if (options.interrupted) return
    if (each.failure !== undefined) continue
    const wanted = each.case.connections ?? options.connections
    if (before === undefined || wanted !== connections) {
      connections = wanted
      before = await measureSlot(reference, slotOptions(reference, options, connections))
    }
    const slot = await attempt(each, () => measureSlot(each.contender, slotOptions(reference, options, connections)))
    const after = await measureSlot(reference, slotOptions(reference, options, connections))
    if (slot !== undefined) each.samples.push({ before, slot, after })
    before = after
  }
}

/**
 * Runs every contender for a while, so that its code is compiled, and checks that replies equal those of `bare`. In
 * between, each one collects garbage while it is idle, as a server does in a quiet minute: in Node.js 20, this can make
 * `process.nextTick` slower for the rest of the process, by 2 µs for each request.
 */
async function warmUp (
  all: readonly Ready[],
  references: ReadonlyMap<string, ContenderProcess>,
  options: RoundOptions
): Promise<void> {
  for (const [name, contender] of references) await warmContender(contender, name, options)
  const expected = await readBody(references.get('bare'), options)
  for (const each of all) {
    if (options.interrupted) return
    options.report(`warm-up: ${each.case.name}`)
    await attempt(each, async () => {
      const connections = each.case.connections ?? options.connections
      await warmContender(each.contender, each.case.reference, { ...options, connections })
      if (expected === undefined || !isComparable(each)) return
      const body = await readBody(each.contender, options)
      if (body?.length !== expected.length) throw new Error(`another reply than that of bare: ${body}`)
    })
  }
}

async function warmContender (contender: ContenderProcess, reference: string, options: RoundOptions): Promise<void> {
  const limit = reference === 'bare' ? WARM_UP_MS : HASH_WARM_UP_MS
  await sendRequests(contender, WARM_UP_REQUESTS / 2, limit / 2, options)
  contender.resume()
  await contender.collect()
  await sendRequests(contender, WARM_UP_REQUESTS / 2, limit / 2, options)
}

/** Sends a number of requests, or fewer in the given time. */
async function sendRequests (
  contender: ContenderProcess,
  count: number,
  limit: number,
  options: RoundOptions
): Promise<void> {
  let requests = 0
  for (let time = 0; requests < count && time < limit; time += WARM_UP_SLOT_MS) {
    const { perSecond } = await measureSlot(contender, { ...options, milliseconds: WARM_UP_SLOT_MS })
    requests += (perSecond * WARM_UP_SLOT_MS) / 1000
  }
}

/** Returns true if the reply must equal that of `bare`, because it contains the same user. */
function isComparable ({ case: { reference, settings }, contender }: Ready): boolean {
  const { expect, requests } = contender.served ?? {}
  return expect === 200 && requests?.[0]?.method === 'GET' && reference === 'bare' && settings?.spread !== true
}

async function readBody (
  contender: ContenderProcess | undefined,
  { generator }: RoundOptions
): Promise<string | undefined> {
  if (contender?.served === undefined) return undefined
  contender.resume()
  const body = await generator.connect(contender.served, 1)
  await generator.disconnect()
  contender.pause()
  return body
}

async function attempt<T> (ready: Ready, run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run()
  } catch (error) {
    ready.failure = (error as Error).message
    return undefined
  }
}

function slotOptions (reference: ContenderProcess, options: RoundOptions, connections: number): SlotOptions {
  const milliseconds = reference.served === undefined ? Math.max(HASH_MS, options.milliseconds) : options.milliseconds
  return { ...options, milliseconds, connections }
}

function shuffle<T> (items: readonly T[]): T[] {
  const shuffled = [...items]
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1))
    ;[shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T]
  }
  return shuffled
}
