import type { BackendNames } from './authentication/index.js'
import type { BackendOptions } from './contracts/backend.js'
import type { Feature, FeatureBackend } from './contracts/feature.js'

/** Returns the backends of features, in their order. */
export function featureBackendsOf (features: readonly Feature[] = []): FeatureBackend[] {
  return features.flatMap(({ backends = [] }) => backends)
}

/** Returns the names of all backends for the guard. */
export function backendNames (options: readonly BackendOptions[], features: readonly Feature[]): BackendNames {
  const own = options.map(({ name }) => name)
  const ofFeatures = featureBackendsOf(features)
  const byFlag = new Map<string, readonly string[]>()
  for (const { name, acceptedWith = [] } of ofFeatures) {
    for (const flag of acceptedWith) byFlag.set(flag, [...(byFlag.get(flag) ?? []), name])
  }
  return { own, all: [...own, ...ofFeatures.map(({ name }) => name)], byFlag }
}
