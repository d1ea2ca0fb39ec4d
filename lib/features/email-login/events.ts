/** Names of the events of the feature. */
export const emailLoginEvents = ['onAfterRequestEmailLogin'] as const
