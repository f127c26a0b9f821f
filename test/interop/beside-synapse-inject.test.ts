/** Synapse with the service beside it, which puts knocks into its rooms. */
import { playAll } from './support/play.ts'
import { SETTINGS } from './support/settings.ts'

playAll(SETTINGS.synapseInject)
