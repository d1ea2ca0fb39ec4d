import type { Slot } from './slot.js'

/** A contender's slot between the slots of its reference. */
export interface Sample {
  before: Slot
  slot: Slot
  after: Slot
}

/** Largest difference of the processor time of the two slots of the reference, as a share of the smaller one. */
const NEIGHBOURS = 0.08
/** Largest share of the contender's core that other processes may have had. Ticks of 10 ms make it inexact. */
const FOREIGN = 0.08
const STOLEN = 0.03

/**
 * Returns the reason why a sample is left out, or null. With `server`, processor time of other processes is allowed in
 * the contender's slot, because a database server may run on its core.
 */
export function findDisturbance ({ before, slot, after }: Sample, server: boolean): string | null {
  const difference = Math.abs(before.cpu - after.cpu) / Math.min(before.cpu, after.cpu)
  if (difference > NEIGHBOURS) return 'the reference changed'
  for (const each of [before, slot, after]) {
    if (each.stolen > STOLEN) return 'the hypervisor took the core'
    if (each.foreign !== null && each.foreign > FOREIGN && !(server && each === slot)) return 'others took the core'
  }
  return null
}
