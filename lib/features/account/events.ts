/** Names of the events of the feature. */
export const accountEvents = ['onAfterDeleteAccount', 'onAfterRequestDeletion', 'onAfterUndoDeletion'] as const
