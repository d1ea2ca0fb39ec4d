import { round } from './summary.js'
import { createScene, type RunOptions, type Skipped } from './scene.js'

/** Memory of a server after a number of guarded requests, in megabytes. The heap is measured after a collection. */
export interface MemoryResult {
  name: string
  requests: number
  heapMegabytes: number
  rssMegabytes: number
}

const CONTENDERS = ['ours-jwt-sqlite', 'ours-stored-sqlite', 'ours-jwt-postgres'] as const
const STEPS = [100_000, 500_000, 1_000_000]
const SLICE_MS = 500

/** Sends a million guarded requests with 2,000 tokens in turn, and measures memory in between. */
export async function measureMemory (options: RunOptions): Promise<{ memory: MemoryResult[]; skipped: Skipped[] }> {
  const memory: MemoryResult[] = []
  const skipped: Skipped[] = []
  const scene = createScene(options)
  try {
    for (const contender of CONTENDERS) {
      const name = `${contender}-2000`
      try {
        const settings = { tokens: 2000 }
        const server = await scene.start({ name, contender, settings, reference: 'bare' })
        server.resume()
        if (server.served === undefined) throw new Error('the contender is no server')
        await scene.generator.connect(server.served, options.connections)
        let count = options.connections
        for (const step of STEPS) {
          while (count < step) count += (await scene.generator.run(SLICE_MS)).count
          const { rss, heapUsed } = await server.collect()
          const [heapMegabytes, rssMegabytes] = [round(heapUsed / 1e6, 2), round(rss / 1e6, 1)]
          memory.push({ name, requests: count, heapMegabytes, rssMegabytes })
          options.report(`round ${step} of ${STEPS.at(-1)} requests: ${name}`)
        }
        await scene.generator.disconnect()
        await server.close()
      } catch (error) {
        skipped.push({ name, reason: (error as Error).message })
      }
    }
    return { memory, skipped }
  } finally {
    await scene.end()
  }
}
