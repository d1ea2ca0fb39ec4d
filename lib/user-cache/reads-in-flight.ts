import type { IdValue } from '../../schemas/index.js'

/** Largest number of changed keys that are remembered while reads run. Beyond it, all keys count as changed. */
const MAX_CHANGES = 10_000

/**
 * Decides which reads may fill the cache. A read that began before a change may return the row before it, so its result
 * must not be kept.
 */
export class ReadsInFlight {
  readonly #changes = new Map<IdValue, number>()
  #running = 0
  #sequence = 0
  #allChangedAt = 0

  /** Records the start of a read and returns its ticket. Call `end` when the read is over. */
  begin (): number {
    this.#running++
    return this.#sequence
  }

  /** Records the end of a read. Call it after the last `isUnchanged` of the read. */
  end (): void {
    this.#running--
    if (this.#running === 0) this.#changes.clear()
  }

  /** Records a change of one key. */
  change (key: IdValue): void {
    if (this.#running === 0) return
    if (this.#changes.size >= MAX_CHANGES) this.changeAll()
    else this.#changes.set(key, ++this.#sequence)
  }

  /** Records a change of all keys. */
  changeAll (): void {
    this.#allChangedAt = ++this.#sequence
    this.#changes.clear()
  }

  /** Returns true if the key has not changed since the read with this ticket began. */
  isUnchanged (ticket: number, key: IdValue): boolean {
    return this.#allChangedAt <= ticket && (this.#changes.get(key) ?? 0) <= ticket
  }
}
