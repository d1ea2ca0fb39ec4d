import type { ContenderProcess } from './contender-process.js'
import { readCoreTime, type Cores } from './cores.js'
import type { LoadGenerator } from './load-generator.js'

/** The measurements of one slot. */
export interface Slot {
  /** Processor time of the contender for one request, in microseconds. */
  cpu: number
  perSecond: number
  p50: number
  p99: number
  /** Share of the slot in which other processes had the contender's core. Null if it is unknown. */
  foreign: number | null
  /** Share of the slot in which the hypervisor gave the core to other machines. */
  stolen: number
}

export interface SlotOptions {
  milliseconds: number
  connections: number
  cores: Cores | null
  generator: LoadGenerator
}

/** Measures a contender for a while. The contender runs only during this time. */
export async function measureSlot (contender: ContenderProcess, options: SlotOptions): Promise<Slot> {
  const { milliseconds, connections, cores, generator } = options
  const { served } = contender
  contender.resume()
  try {
    if (served !== undefined) await generator.connect(served, connections)
    const core = (): ReturnType<typeof readCoreTime> => (cores === null ? null : readCoreTime(cores.server))
    const before = { usage: await contender.usage(), core: core(), time: performance.now() }
    const outcome = served === undefined ? await work(contender, milliseconds) : await generator.run(milliseconds)
    const after = { core: core(), time: performance.now(), usage: await contender.usage() }
    const used = after.usage.cpu - before.usage.cpu
    const elapsed = (after.time - before.time) * 1000
    const times = before.core !== null && after.core !== null ? { from: before.core, to: after.core } : null
    return {
      cpu: used / outcome.count,
      perSecond: outcome.perSecond,
      p50: outcome.p50,
      p99: outcome.p99,
      foreign: times === null ? null : Math.max(0, times.to.busy - times.from.busy - used) / elapsed,
      stolen: times === null ? 0 : (times.to.stolen - times.from.stolen) / elapsed
    }
  } finally {
    if (served !== undefined) await generator.disconnect().catch(() => {})
    contender.pause()
  }
}

async function work (
  contender: ContenderProcess,
  milliseconds: number
): Promise<Pick<Slot, 'perSecond' | 'p50' | 'p99'> & { count: number }> {
  const { latencies, ...outcome } = await contender.work(milliseconds)
  const sorted = latencies.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? NaN
  return { ...outcome, p50: at(0.5), p99: at(0.99) }
}
